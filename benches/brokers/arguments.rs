//! The command line of the bench.

use std::time::Duration;

use super::failure::Failure;
use super::floor::Fault;

/// What `--help` prints.
pub const HELP: &str = "\
Broker CPU per delivered message: postbud, mosquitto and a bare relay (\"floor\") in turn.

  cargo bench --bench brokers -- [quick] [durability] [full] [OPTION…]

  quick                        short windows: all scenarios in less than a minute
  durability                   only what is kept on the disk: acknowledgements, deep queues
  full                         deep queues of 10,000,000 messages instead of 1,000,000
  --only NAME,…                scenarios by name or by the beginning of it (see --list)
  --brokers NAME,…             only these of postbud, mosquitto, floor and those of --broker
  --broker 'NAME=COMMAND'      one more broker; {port} in COMMAND becomes the port to listen on,
                               {config} a postbud configuration file for that port; a built-in
                               name replaces that broker ('postbud=OTHER --config {config}')
  --rounds N                   turns of each broker (default 3 or fewer; quick 1; the median counts)
  --seconds S                  measured window of each turn (default 1.5; quick 0.2)
  --syscalls                   count system calls per message too (strace, after the window)
  --list                       name the scenarios
  --self-check                 run the harness against faulty relays instead
";

/// What the process is to do.
#[derive(Debug)]
pub enum Task {
    /// Be the bare relay (a child of the harness): listen on `port`, commit `fault` once.
    Floor { port: u16, fault: Fault },
    /// Print [`HELP`].
    Help,
    /// Print the names of the scenarios.
    List,
    /// See whether the harness notices faults.
    SelfCheck,
    /// The bench itself.
    Measure(Options),
}

/// How the bench is to be run.
#[derive(Debug)]
pub struct Options {
    /// Beginnings of the names of scenarios to run; none means all.
    pub only: Vec<String>,
    /// Names of brokers to run; none means all.
    pub brokers: Vec<String>,
    /// Brokers beside the built-in ones: name and command line.
    pub extra: Vec<(String, String)>,
    /// Turns of each broker in each scenario, where said.
    rounds: Option<usize>,
    /// Load before the measured window.
    pub warm_up: Duration,
    /// The measured window.
    pub window: Duration,
    /// Only the scenarios of what is kept on the disk.
    pub durability: bool,
    /// The deepest queues.
    pub full: bool,
    /// Fewer connections, shorter settling.
    pub quick: bool,
    /// Count system calls with strace after the measured window.
    pub syscalls: bool,
}

impl Options {
    /// Turns of each broker in a scenario that is content with `enough` in a full run.
    pub fn rounds(&self, enough: usize) -> usize {
        self.rounds.unwrap_or(if self.quick { 1 } else { enough })
    }
}

/// Reads the arguments (the program's name is not among them).
pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Task, Failure> {
    let mut arguments = arguments;
    let mut options = Options {
        only: Vec::new(),
        brokers: Vec::new(),
        extra: Vec::new(),
        rounds: None,
        warm_up: Duration::from_millis(300),
        window: Duration::ZERO,
        durability: false,
        full: false,
        quick: false,
        syscalls: false,
    };
    let (mut port, mut fault) = (None, Fault::None);
    let (mut measure, mut self_check) = (false, false);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            let missing = || Failure::new(format!("{argument} needs a value (see --help)"));
            arguments.next().ok_or_else(missing)
        };
        match argument.as_str() {
            "--bench" => measure = true,
            "--help" | "-h" => return Ok(Task::Help),
            "--list" => return Ok(Task::List),
            "--self-check" => self_check = true,
            "--floor" => port = Some(number(&argument, &value()?)?),
            "--fault" => fault = Fault::parse(&value()?)?,
            "quick" | "--quick" => options.quick = true,
            "durability" => options.durability = true,
            "full" => options.full = true,
            "--syscalls" => options.syscalls = true,
            "--only" => options.only.extend(list(&value()?)),
            "--brokers" => options.brokers.extend(list(&value()?)),
            "--broker" => options.extra.push(named_command(&value()?)?),
            "--rounds" => {
                let rounds = number::<usize>(&argument, &value()?)?.clamp(1, 101);
                options.rounds = Some(rounds);
            }
            "--seconds" => {
                let seconds = number::<f64>(&argument, &value()?)?.clamp(0.05, 600.0);
                options.window = Duration::from_secs_f64(seconds);
            }
            unknown => {
                return Err(Failure::new(format!(
                    "unknown argument {unknown:?} (see --help)"
                )));
            }
        }
    }
    if let Some(port) = port {
        return Ok(Task::Floor { port, fault });
    }
    if self_check || !measure {
        return Ok(Task::SelfCheck);
    }
    if options.quick {
        options.warm_up = Duration::from_millis(60);
    }
    if options.window.is_zero() {
        options.window = Duration::from_millis(if options.quick { 200 } else { 1500 });
    }
    Ok(Task::Measure(options))
}

fn list(value: &str) -> Vec<String> {
    value
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn number<N: std::str::FromStr>(argument: &str, value: &str) -> Result<N, Failure> {
    let refused = |_| Failure::new(format!("{argument} {value:?}: not a number it can take"));
    value.parse().map_err(refused)
}

fn named_command(value: &str) -> Result<(String, String), Failure> {
    match value.split_once('=') {
        Some((name, command)) if !name.is_empty() && !command.trim().is_empty() => {
            Ok((name.to_owned(), command.to_owned()))
        }
        _ => Err(Failure::new(format!(
            "--broker {value:?}: expected 'NAME=COMMAND {{port}}'"
        ))),
    }
}
