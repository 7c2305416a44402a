//! The broker under test: the real binary, in a folder of its own, on ports of its own.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use socket2::{Domain, Protocol, Socket, Type};

use super::certificates::Certificates;
use super::folder::Folder;
use super::metrics;
use super::process::{Finished, Process};

/// What the tests run against, if not the binary that was built with them: `mosquitto`, as a test of a
/// client that fails there too has found nothing about Postbud, or the path of another binary of Postbud,
/// a release build or one that was broken on purpose.
const SUBJECT: &str = "BROKER_UNDER_TEST";

/// A running broker with a TCP, a TLS and an HTTP listener, killed when dropped.
pub struct Broker {
    process: Process,
    /// MQTT over TCP.
    pub tcp: SocketAddr,
    /// MQTT over TLS.
    pub tls: SocketAddr,
    /// Metrics and health.
    pub http: SocketAddr,
    pub certificates: Certificates,
    pub folder: Folder,
}

impl Broker {
    /// Starts a broker that lets anybody in, and has more patience with who sends no CONNECT than any test:
    /// if it closes, it has a reason.
    #[track_caller]
    pub fn start() -> Self {
        Self::configured("[auth]\nanonymous = true\n[limits]\nconnect_timeout = \"1h\"\n")
    }

    /// Starts a broker whose configuration has, beside the listeners, what is given. If that does not
    /// speak of the store, nothing is stored.
    #[track_caller]
    pub fn configured(rest: &str) -> Self {
        Self::start_on("127.0.0.1:0", rest)
    }

    /// As [`Broker::configured`], with MQTT over TCP on a given address.
    #[track_caller]
    pub fn start_on(tcp: &str, rest: &str) -> Self {
        Self::launch(tcp, rest, command)
    }

    /// As [`Broker::configured`], by a shell that runs `first` before it becomes the broker:
    /// `ulimit -n 64`.
    #[track_caller]
    pub fn start_after(first: &str, rest: &str) -> Self {
        Self::launch("127.0.0.1:0", rest, |folder| {
            let broker = command(folder);
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("{first} && exec \"$0\" \"$@\"")]);
            shell.arg(broker.get_program()).current_dir(folder);
            for (name, _) in broker.get_envs().filter(|(_, value)| value.is_none()) {
                shell.env_remove(name);
            }
            shell
        })
    }

    /// Starts Debian's mosquitto in Postbud's place, whatever the environment says; its configuration begins with
    /// what is given.
    #[track_caller]
    pub fn mosquitto(first: &str) -> Self {
        let folder = Folder::new();
        let certificates = Certificates::generate(&folder);
        start_mosquitto(folder, certificates, first)
    }

    #[track_caller]
    fn launch(tcp: &str, rest: &str, command: impl FnOnce(&Path) -> Command) -> Self {
        let folder = Folder::new();
        let certificates = Certificates::generate(&folder);
        if std::env::var(SUBJECT).is_ok_and(|subject| subject == "mosquitto") {
            return start_mosquitto(folder, certificates, "");
        }
        let file = folder.write("postbud.toml", configuration(tcp, &certificates, rest));
        let mut command = command(folder.path());
        command.arg("--config").arg(file);
        let process = Process::start(command);
        let (tcp, tls) = (listening(&process, "tcp"), listening(&process, "tls"));
        let http = listening(&process, "http");
        Self {
            process,
            tcp,
            tls,
            http,
            certificates,
            folder,
        }
    }

    /// Where a listener of this kind is that the configuration names beside the usual ones.
    #[track_caller]
    pub fn listening(&self, kind: &str) -> SocketAddr {
        listening(&self.process, kind)
    }

    /// Where the listener with this name is.
    #[track_caller]
    pub fn named(&self, name: &str) -> SocketAddr {
        announced(&self.process, &format!("listener={name}"))
    }

    /// Asks the broker to stop and waits until it has.
    #[track_caller]
    pub fn stop(self) -> Finished {
        self.signal("TERM");
        self.process.finish()
    }

    /// Sends a signal by its name without SIG.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Waits for the end of a broker that was asked to stop.
    #[track_caller]
    pub fn finish(self) -> Finished {
        self.process.finish()
    }

    /// Ends the broker as a crash would.
    pub fn kill(self) {
        self.process.kill();
    }

    /// The broker's process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until the broker has logged a line with all these words, and returns it.
    #[track_caller]
    pub fn wait_for_log(&self, words: &[&str]) -> String {
        self.process
            .wait_for(&format!("a line with {words:?}"), |line| {
                words.iter().all(|word| line.contains(word))
            })
    }

    /// Waits until all these samples of the metrics, named with their labels, have these values.
    #[track_caller]
    pub fn wait_for_samples(&self, expected: &[(&str, f64)]) {
        metrics::wait_for(self.http, expected);
    }

    /// What the broker has logged.
    pub fn log(&self) -> Vec<String> {
        self.process.lines()
    }
}

/// The broker's binary, to be run in `folder` with none of the environment that it would read.
pub fn command(folder: &Path) -> Command {
    let mut command = Command::new(binary());
    command.current_dir(folder).env_remove("RUST_LOG");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("POSTBUD_") {
            command.env_remove(name);
        }
    }
    command
}

fn binary() -> PathBuf {
    match std::env::var_os(SUBJECT).map(PathBuf::from) {
        Some(path) if path.is_absolute() => path,
        _ => PathBuf::from(env!("CARGO_BIN_EXE_postbud")),
    }
}

/// Waits until the broker says where it listens: `listening kind=tcp address=127.0.0.1:41235`.
#[track_caller]
pub fn listening(process: &Process, kind: &str) -> SocketAddr {
    announced(process, &format!("kind={kind}"))
}

/// The address in the line that announces a listener with this word.
#[track_caller]
fn announced(process: &Process, word: &str) -> SocketAddr {
    let line = process.wait_for(&format!("`listening {word}`"), |line| {
        line.contains("listening") && line.split_whitespace().any(|it| it == word)
    });
    let address = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix("address="));
    let address = address.unwrap_or_else(|| panic!("no address in `{line}`"));
    address
        .parse()
        .unwrap_or_else(|error| panic!("no address in `{line}`: {error}"))
}

fn configuration(tcp: &str, certificates: &Certificates, rest: &str) -> String {
    let mut text = format!("[[listener]]\nkind = \"tcp\"\naddress = \"{tcp}\"\n\n");
    text.push_str("[[listener]]\nkind = \"tls\"\naddress = \"127.0.0.1:0\"\n[listener.tls]\n");
    let _ = writeln!(text, "certificate = {:?}", certificates.certificate);
    let _ = writeln!(text, "key = {:?}\n", certificates.key);
    text.push_str("[http]\naddress = \"127.0.0.1:0\"\n\n");
    // Who is not about the store does without: it is faster, and a session may be used again and again.
    if !rest.contains("store]") {
        text.push_str("[store]\ndurability = \"memory\"\n\n");
    }
    text.push_str(rest);
    text
}

/// Starts Debian's mosquitto in Postbud's place. It has no HTTP, and cannot tell which port the system
/// chose, so two are chosen for it.
#[track_caller]
fn start_mosquitto(folder: Folder, certificates: Certificates, first: &str) -> Broker {
    // Bound until mosquitto listens, so that nobody else is given them; as nobody listens on them and both sides
    // allow the address to be used again, mosquitto can.
    let held = [(); 2].map(|()| {
        let socket =
            Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        socket
            .set_reuse_address(true)
            .and_then(|()| socket.bind(&any.into()))
            .expect("a free port");
        socket
    });
    let [tcp, tls] = held.each_ref().map(|socket| {
        let address = socket.local_addr().expect("it is bound");
        address.as_socket().expect("an address of the internet")
    });
    let (certificate, key) = (
        certificates.certificate.display(),
        certificates.key.display(),
    );
    let file = folder.write(
        "mosquitto.conf",
        format!(
            "{first}\nuser root\nallow_anonymous true\npersistence false\nsys_interval 1\nlog_type all\n\
             set_tcp_nodelay true\nlistener {} 127.0.0.1\nlistener {} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}\n",
            tcp.port(),
            tls.port()
        ),
    );
    // Debian keeps it where only an administrator's shell looks.
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("sh");
    command.args(["-c", "exec mosquitto -c \"$0\""]).arg(file);
    command.env("PATH", format!("{path}:/usr/sbin:/usr/local/sbin"));
    let process = Process::start(command);
    process.wait_for("`running`", |line| {
        line.contains("mosquitto version") && line.contains("run")
    });
    drop(held);
    Broker {
        process,
        tcp,
        tls,
        http: tcp,
        certificates,
        folder,
    }
}
