//! The command line: what `postbud` can be asked to do, and how it says that it cannot.
//!
//! ```text
//!   arguments ──► Config::load ──► log to standard error ──► server::serve      (default)
//!                             └──► load certificates ──► report to standard output  (check)
//!            ├──► a file of users and their passwords                                (passwd)
//!            ├──► a store that no broker has open                                    (store)
//!            └──► the control socket of a running broker ──► its answer              (ctl)
//! ```
//!
//! Exit codes: 0 done or stopped as asked, 1 it did not work and `postbud: …` on standard error
//! says why, 2 the arguments are not understood.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::auth::acl::options::Effect;
use crate::auth::options::Options as AuthOptions;
use crate::config::{Config, Level, Origin};
use crate::listener::certificates::{self, Generated};
use crate::listener::options::{ListenerOptions, Place, TlsOptions};
use crate::listener::tls;
use crate::server::{self, SetLevel};
use crate::store::options::Options as StoreOptions;

mod ctl;
mod moment;
mod passwd;
mod store;
mod table;

const ABOUT: &str = "Postbud is an MQTT broker for MQTT 3.1, 3.1.1 and 5.0.";

const LONG_ABOUT: &str = "\
Postbud is an MQTT broker: clients connect, subscribe to topics and publish to them.
It speaks MQTT 3.1, 3.1.1 and 5.0 over TCP, TLS, WebSocket and Unix domain sockets.

Without arguments it starts with its built-in configuration, for this machine only:
MQTT on 127.0.0.1:1883, MQTT over TLS on 127.0.0.1:8883, metrics and health over
HTTP on 127.0.0.1:18083, and clients need not prove who they are.";

const EXAMPLES: &str = "\
Examples:
  postbud                               start with the built-in configuration
  postbud --config postbud.toml         start with a file
  postbud check --config postbud.toml   say what is wrong with a file, start nothing
  postbud passwd users anna             give anna a password, in the file `users`
  postbud store verify data             read all of a store that no broker has open
  postbud ctl --socket /run/postbud/control sessions      ask a running broker
  postbud store export data > data.jsonl && postbud store import copy < data.jsonl

  mosquitto_sub -t 'greeting/#' -v
  mosquitto_pub -t greeting/world -m hello
  mosquitto_pub -p 8883 --cafile certs/ca.pem -t greeting/world -m 'hello over TLS'
  mosquitto_sub -V 5 -t '$share/team/jobs/#'        one worker of a team
  curl http://127.0.0.1:18083/metrics

Environment:
  POSTBUD_CONFIG=FILE         the same as --config, which goes before it
  POSTBUD_{TABLE}_{KEY}       one setting, going before the file, such as
                              POSTBUD_LOG_LEVEL=debug
                              POSTBUD_LISTENER_0_ADDRESS=0.0.0.0:1883
  RUST_LOG                    what is logged, by module, going before log.level
  NO_COLOR                    if not empty, no colours in the log on a terminal

Files (relative to the working directory):
  config/postbud.toml         in the source: every setting explained, with its default
  certs/                      with the built-in configuration: the certificate shown to
                              clients, made at the first start; clients trust certs/ca.pem
  data/                       what outlives the broker, unless store.path says otherwise

Signals:
  SIGHUP                      read the configuration and the files it names again: all is
                              in force, or nothing if anything is wrong; the log says what
  SIGTERM, SIGINT             stop: no new clients, a DISCONNECT to those that are there,
                              what is under way is written, exit code 0

Exit codes:
  0 stopped as asked, or nothing wrong    1 it did not work    2 wrong arguments";

#[derive(Debug, Parser)]
#[command(name = "postbud", version, about = ABOUT, long_about = LONG_ABOUT)]
#[command(after_help = "Try --help for examples, environment, files and signals.")]
#[command(after_long_help = EXAMPLES)]
struct Arguments {
    /// Configuration file, in place of the built-in configuration
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
enum Command {
    /// Start the broker (the default)
    Serve,
    /// Read the configuration and the files that it names, and say what is wrong or what would be served
    Check,
    /// Give a user a password, or take the user out, in the file that the broker reads
    Passwd(passwd::Passwd),
    /// Look at the store of a broker that is not running, take it out, or make one
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Ask a running broker: sessions, groups, to end them or give up what waits, a copy of the store, a reload
    Ctl(ctl::Control),
}

/// Does what the process was asked to do and returns when that is over.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // The text of --help and --version arrives here too, with exit code 0. Nothing is left
            // to do if nobody reads it.
            let _ = error.print();
            return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    let outcome = match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(arguments.config.as_deref()),
        Command::Check => check(arguments.config.as_deref()),
        Command::Ctl(control) => ctl(&control, arguments.config.as_deref()),
        Command::Passwd(asked) => passwd::run(&asked).map_err(|error| complaint(&*error)),
        Command::Store(command) => store::run(&command).map_err(|error| complaint(&*error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaint) => {
            eprint!("{complaint}");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: Option<&Path>) -> Result<(), String> {
    let ground = server::Ground::new().map_err(|error| complaint(&error))?;
    let config = Config::load(config, env::vars_os()).map_err(|error| complaint(&error))?;
    let set_level = start_logging(config.log.level)?;
    server::serve(ground, config, set_level).map_err(|error| complaint(&error))
}

fn check(config: Option<&Path>) -> Result<(), String> {
    let config = Config::load(config, env::vars_os()).map_err(|error| complaint(&error))?;
    print!("{}", report(&config)?);
    Ok(())
}

fn ctl(control: &ctl::Control, config: Option<&Path>) -> Result<(), String> {
    let socket = match &control.socket {
        Some(socket) => socket.clone(),
        None => {
            let config = Config::load(config, env::vars_os()).map_err(|error| complaint(&error))?;
            config.control.socket.ok_or(
                "postbud: no control socket: name it with --socket, or as control.socket in the \
                 broker's configuration with --config\n",
            )?
        }
    };
    control.run(&socket).map_err(|error| complaint(&*error))
}

/// Sends log lines to standard error, coloured only for eyes. Returns how the level is changed, if it is up to
/// the configuration.
fn start_logging(level: Level) -> Result<Option<SetLevel>, String> {
    let directives = env::var("RUST_LOG").ok().filter(|it| !it.is_empty());
    let filter = match &directives {
        Some(directives) => EnvFilter::try_new(directives)
            .map_err(|error| format!("postbud: RUST_LOG: {error}\n"))?,
        None => EnvFilter::new(level.name()),
    };
    let colours = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colours && io::stderr().is_terminal())
        .with_filter_reloading();
    let filter = log.reload_handle();
    log.try_init()
        .map_err(|error| format!("postbud: the log cannot be started: {error}\n"))?;
    Ok(directives.is_none().then(|| -> SetLevel {
        Box::new(move |level| {
            // It fails only when the log has gone, and there is nobody to tell.
            let _ = filter.reload(EnvFilter::new(level.name()));
        })
    }))
}

/// The error and what caused it, with our name in front of each line, as tools that read several
/// programs' output expect.
fn complaint(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text.lines()
        .map(|line| format!("postbud: {line}\n"))
        .collect()
}

/// What would be served, or all that is wrong with the files that the configuration names.
fn report(config: &Config) -> Result<String, String> {
    let mut text = match &config.origin {
        Origin::BuiltIn => "the built-in configuration is right\n".to_owned(),
        Origin::File(path) => format!("{} is right\n", path.display()),
    };
    let mut complaints = String::new();
    for (index, listener) in config.listener.listeners.iter().enumerate() {
        let spoken = spoken(listener);
        match &listener.tls {
            None => {
                let _ = writeln!(text, "  listener {index}  {spoken}");
            }
            Some(options) => match certificate(config, options) {
                Ok(note) => {
                    let _ = writeln!(text, "  listener {index}  {spoken}, {note}");
                }
                Err(complaint) => complaints += &complaint,
            },
        }
    }
    let http = config
        .http
        .address
        .map_or("off".to_owned(), |address| address.to_string());
    let _ = writeln!(text, "  http        {http}");
    let _ = writeln!(text, "  store       {}", kept(&config.store));
    text += &proofs(&config.auth);
    let _ = writeln!(text, "  acl         {}", permitted(&config.auth));
    if let Err(error) = server::check(config) {
        complaints += &complaint(&error);
    }
    if complaints.is_empty() {
        Ok(text)
    } else {
        Err(complaints)
    }
}

/// Which rules there would be about topics.
fn permitted(auth: &AuthOptions) -> String {
    let options = &auth.acl;
    let file = options.mosquitto_file.as_ref();
    let file = file.map(|file| format!("{} as mosquitto has it", file.display()));
    let rules = options.rules.as_ref().map(|rules| match rules.len() {
        1 => "1 rule".to_owned(),
        more => format!("{more} rules"),
    });
    let service = auth.http.authorize.as_ref();
    let service = service.map(|url| format!("{url} is asked"));
    let known: Vec<_> = file.into_iter().chain(rules).chain(service).collect();
    match (known.is_empty(), options.default) {
        (true, _) => "none: whoever gets in may do everything".to_owned(),
        (false, Effect::Deny) => format!("{}, all else denied", known.join(", ")),
        (false, Effect::Allow) => format!("{}, all else allowed", known.join(", ")),
    }
}

/// What a listener speaks, and where.
fn spoken(listener: &ListenerOptions) -> String {
    let over = match listener.kind() {
        "tls" => " over TLS",
        "ws" => " over WebSocket",
        "wss" => " over WebSocket over TLS",
        _ => "",
    };
    let place = &listener.place;
    match place {
        Place::Unix(options) => format!("MQTT at {place}, mode {:o}", options.mode),
        Place::Internet(options) => match &options.proxy {
            None => format!("MQTT{over} on {place}"),
            Some(_) => format!("MQTT{over} on {place}, behind proxies"),
        },
    }
}

/// How clients would prove who they are.
fn proofs(options: &AuthOptions) -> String {
    let mut text = String::new();
    let files = [
        ("passwords", &options.password.file),
        ("scram", &options.scram.file),
    ];
    for (name, file) in files {
        if let Some(file) = file {
            let _ = writeln!(text, "  {name:<12}{}", file.display());
        }
    }
    if options.token.is_on() {
        let names = options.token.algorithms.iter().map(|it| it.name());
        let names: Vec<&str> = names.collect();
        let _ = writeln!(text, "  tokens      {}", names.join(", "));
    }
    if let Some(url) = &options.http.authenticate {
        let _ = writeln!(text, "  asked       {url}");
    }
    let anonymous = match (options.anonymous, text.is_empty()) {
        (true, _) => "accepted",
        (false, false) => "refused",
        (false, true) => "refused: as there is no other way to authenticate, nobody can connect",
    };
    let _ = writeln!(text, "  anonymous   {anonymous}");
    text
}

/// Where what is kept would be, and how safely.
fn kept(options: &StoreOptions) -> String {
    if options.promise.of_sessions().is_none() {
        return "off: all state ends with the process".to_owned();
    }
    let path = options.path.display();
    let mut text = format!("{path}, durability {}", options.promise.default.name());
    match options.promise.topics.len() {
        0 => {}
        1 => text += ", another one for 1 Topic Filter",
        more => text += &format!(", others for {more} Topic Filters"),
    }
    text
}

/// Which certificate a listener would show, or why it cannot.
fn certificate(config: &Config, options: &TlsOptions) -> Result<String, String> {
    let shown = options.certificate.display();
    let directory = config.development_certificates();
    if let Some(directory) = directory.filter(|it| options.certificate.parent() == Some(it)) {
        match certificates::plan(directory).map_err(|error| complaint(&error))? {
            Generated::Nothing => {}
            Generated::Created => return Ok(format!("{shown} will be made at the start")),
            Generated::Renewed => {
                return Ok(format!(
                    "{shown} has expired and will be made anew at the start"
                ));
            }
        }
    }
    match tls::server_config(options) {
        Ok(_) => Ok(format!("certificate {shown}")),
        Err(error) => Err(complaint(&error)),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;
    use crate::listener::certificates::tests::Directory;

    fn parse(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from([&["postbud"], arguments].concat())
    }

    /// What `postbud check --config FILE` says of a file with this text.
    fn checked(home: &Directory, text: &str) -> Result<String, String> {
        let path = home.file("c.toml", text);
        let config = Config::load(Some(&path), std::iter::empty()).map_err(|e| complaint(&e))?;
        report(&config)
    }

    fn tls_file(home: &Directory) -> String {
        let directory = home.path().display();
        format!(
            "[[listener]]\nkind = \"tls\"\naddress = \"127.0.0.1:8883\"\n[listener.tls]\n\
             certificate = \"{directory}/server.pem\"\nkey = \"{directory}/server.key\"\n\
             [auth]\nanonymous = true\n[http]\naddress = \"\"\n"
        )
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn serving_is_the_default_and_the_file_may_stand_on_either_side() {
        let plain = parse(&[]).unwrap();
        assert_eq!((plain.command, plain.config), (None, None));
        for arguments in [["--config", "a", "check"], ["check", "--config", "a"]] {
            let parsed = parse(&arguments).unwrap();
            assert_eq!(parsed.command, Some(Command::Check));
            assert_eq!(parsed.config.as_deref(), Some(Path::new("a")));
        }
        assert_eq!(parse(&["serve"]).unwrap().command, Some(Command::Serve));
    }

    #[test]
    fn misuse_is_exit_code_2_and_questions_are_0() {
        let cases: [(&[&str], ErrorKind, i32); 6] = [
            (&["--config"], ErrorKind::InvalidValue, 2),
            (&["--confg", "a"], ErrorKind::UnknownArgument, 2),
            (&["start"], ErrorKind::InvalidSubcommand, 2),
            (&["check", "extra"], ErrorKind::UnknownArgument, 2),
            (&["--help"], ErrorKind::DisplayHelp, 0),
            (&["--version"], ErrorKind::DisplayVersion, 0),
        ];
        for (arguments, kind, code) in cases {
            let error = parse(arguments).unwrap_err();
            assert_eq!(
                (error.kind(), error.exit_code()),
                (kind, code),
                "{arguments:?}"
            );
        }
    }

    #[test]
    fn help_is_worth_reading_and_fits_a_terminal() {
        let help = parse(&["--help"]).unwrap_err().to_string();
        for word in [
            "mosquitto_sub -t",
            "--cafile certs/ca.pem",
            "POSTBUD_LISTENER_0_ADDRESS",
            "RUST_LOG",
            "SIGTERM",
            "check",
            "certs/",
            "18083",
            "$share/",
        ] {
            assert!(help.contains(word), "{word} is missing in:\n{help}");
        }
        for line in LONG_ABOUT.lines().chain(EXAMPLES.lines()) {
            assert!(line.chars().count() <= 90, "{line}");
        }
    }

    /// The addresses told in the help are those of the built-in configuration.
    #[test]
    fn help_and_the_built_in_configuration_agree() {
        let config = Config::load(None, std::iter::empty()).unwrap();
        let mut addresses: Vec<String> = config
            .listener
            .listeners
            .iter()
            .map(|it| it.place.to_string())
            .collect();
        addresses.push(config.http.address.unwrap().to_string());
        for address in addresses {
            assert!(LONG_ABOUT.contains(&address), "{address}");
        }
    }

    #[test]
    fn check_tells_what_would_be_served() {
        let home = Directory::new();
        certificates::development(home.path()).unwrap();
        let text = checked(&home, &tls_file(&home)).unwrap();
        let directory = home.path().display();
        assert_eq!(
            text,
            format!(
                "{directory}/c.toml is right\n  \
                 listener 0  MQTT over TLS on 127.0.0.1:8883, \
                 certificate {directory}/server.pem\n  \
                 http        off\n  store       data, durability flush\n  \
                 anonymous   accepted\n  acl         none: whoever gets in may do everything\n"
            )
        );
        let text = checked(
            &home,
            "[[listener]]\nkind = \"tcp\"\naddress = \"[::1]:0\"\n",
        )
        .unwrap();
        assert!(text.contains("  listener 0  MQTT on [::1]:0\n  http        127.0.0.1:18083\n"));
        assert!(text.contains("  anonymous   refused: "), "{text}");
    }

    // Breaks if: `check` does not say where state would be, or that it would be nowhere.
    #[test]
    fn check_tells_where_state_would_be() {
        let home = Directory::new();
        let told = |rest: &str| {
            let listener = "[[listener]]\nkind = \"tcp\"\naddress = \"[::1]:0\"\n[store]\n";
            checked(&home, &format!("{listener}{rest}")).unwrap()
        };
        let text = told("path = \"here\"\ndurability = \"write\"\n");
        assert!(
            text.contains("  store       here, durability write\n"),
            "{text}"
        );
        let text = told("durability = \"memory\"\n");
        assert!(text.contains("  store       off: all state ends"), "{text}");
        let topic = "[[store.topics]]\nfilter = \"a\"\ndurability = \"flush\"\n";
        let text = told(&format!("durability = \"memory\"\n{topic}"));
        assert!(
            text.contains(
                "  store       data, durability memory, another one for 1 Topic Filter\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn check_complains_of_every_certificate_that_does_not_load_with_its_cause() {
        let home = Directory::new();
        let twice = tls_file(&home)
            + "[[listener]]\nkind = \"tls\"\naddress = \"127.0.0.1:8884\"\n[listener.tls]\n\
               certificate = \"absent.pem\"\nkey = \"absent.key\"\n";
        let text = checked(&home, &twice).unwrap_err();
        let lines: Vec<&str> = text.lines().collect();
        let directory = home.path().display();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(
            lines[0].starts_with(&format!(
                "postbud: {directory}/server.pem: cannot be read: "
            )),
            "{text}"
        );
        assert!(
            lines[1].starts_with("postbud: absent.pem: cannot be read: "),
            "{text}"
        );
    }

    #[test]
    fn check_reads_the_password_file() {
        let home = Directory::new();
        let file = home.file("users", "anna:$6$AAAA$AAAA\n");
        let listener = "[[listener]]\nkind = \"tcp\"\naddress = \"[::1]:0\"\n";
        let text = format!("{listener}[auth.password]\nfile = {file:?}\n");
        let complaint = checked(&home, &text).unwrap_err();
        let begins = format!("postbud: {}:1: the line has no usable", file.display());
        assert!(complaint.starts_with(&begins), "{complaint}");
        home.file("users", "");
        let told = checked(&home, &text).unwrap();
        let lines = format!("  passwords   {}\n  anonymous   refused\n", file.display());
        assert!(told.contains(&lines), "{told}");
    }

    #[test]
    fn check_complains_of_a_key_that_is_not_the_certificates() {
        let home = Directory::new();
        certificates::development(home.path()).unwrap();
        home.file(
            "server.key",
            rcgen::KeyPair::generate().unwrap().serialize_pem(),
        );
        let text = checked(&home, &tls_file(&home)).unwrap_err();
        assert!(
            text.contains("server.key: the private key does not belong to"),
            "{text}"
        );
    }

    // Breaks if: a file of permissions is read only when the broker starts.
    #[test]
    fn check_complains_of_wrong_permissions_with_their_place() {
        let home = Directory::new();
        let file = home.file("acl", "topic read a\ntopic rw b\n");
        let listener = "[[listener]]\nkind = \"tcp\"\naddress = \"[::1]:0\"\n";
        let text = format!("{listener}[acl]\nmosquitto_file = {file:?}\n");
        let complaint = checked(&home, &text).unwrap_err();
        let place = format!(
            "postbud: {}:2: the access is \"rw\"; expected",
            file.display()
        );
        assert!(complaint.starts_with(&place), "{complaint}");
        home.file("acl", "topic read a\n");
        let told = checked(&home, &text).unwrap();
        let named = format!("  acl         {} as mosquitto has it", file.display());
        assert!(
            told.ends_with(&format!("{named}, all else denied\n")),
            "{told}"
        );
        let rule = "default = \"allow\"\n[[acl.rules]]\ndeny = \"publish\"\ntopics = \"a\"\n";
        let told = checked(&home, &format!("{text}{rule}")).unwrap();
        let expected = format!("{named}, 1 rule, all else allowed\n");
        assert!(told.ends_with(&expected), "{told}");
    }

    #[test]
    fn every_line_of_a_complaint_carries_our_name() {
        let home = Directory::new();
        let text = checked(&home, "[auth]\nanonymous = 1\n[log]\nlevel = 2\n").unwrap_err();
        assert_eq!(text.lines().count(), 3);
        for line in text.lines() {
            assert!(line.starts_with("postbud: "), "{line}");
            assert!(line.contains("c.toml"), "{line}");
        }
    }
}
