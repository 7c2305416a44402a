//! `cargo bench --bench brokers`: what a delivered message costs, end to end.
//!
//! The harness starts real brokers as child processes, loads each over loopback with the same
//! generator, and reads from `/proc` what the broker spent:
//!
//! ```text
//!              this process                          child process
//!   ┌────────────────────────────────┐     ┌───────────────────────────────┐
//!   │ publishers ──┐                 │ TCP │  postbud                      │
//!   │              ├─ one epoll loop ├─────┤  or mosquitto                 │
//!   │ subscribers ─┘                 │     │  or floor (this binary again) │
//!   │ ledgers: lost, twice, order    │     │  or --broker 'name=cmd'       │
//!   │ /proc/{pid}: CPU, memory  <────┼─────┤                               │
//!   └────────────────────────────────┘     └───────────────────────────────┘
//! ```
//!
//! # Why CPU, and why ratios
//!
//! Generator and broker share the machine, often two cores of it, so wall time says more about the
//! scheduler than about the broker. What is judged is the CPU time (user + system, all threads)
//! that the broker's process used while the messages of the measured window were delivered,
//! divided by their number. One *delivered message* is one PUBLISH that arrived at one subscriber:
//! a fan-out of one message to 500 subscribers counts 500.
//!
//! Even CPU time moves with the machine, its kernel and its neighbours. Hence brokers take turns
//! (A B C A B C …), the median of the rounds counts, and figures are told as ratios of one run:
//!
//! - to mosquitto as Debian ships it, persistence and logging off and its windows opened wide
//!   enough not to throttle the load. `TCP_NODELAY` is left at its default (off);
//! - to the *floor*: a bare single-threaded relay inside this binary with one read and one write
//!   per ready socket and round, a hash map of topics, and no checks whatever. It is not a broker;
//!   it is what the system calls and copies alone cost, so "twice the floor" means something
//!   anywhere.
//!
//! On loopback the sender's system call also carries the packet through the receiver's half of the
//! TCP stack. Part of what the broker is charged with is therefore the generator's doing and the
//! other way round; that is the same for every broker, and the floor pays it too.
//!
//! # What it is compared with
//!
//! The loads that every broker has to carry have goals as multiples of the floor. Where the floor would say
//! nothing (TLS, a million subscriptions, ten thousand idle connections), Postbud carries in turn the same
//! load without that, and is compared with itself. The summary at the end has a line for each scenario; what
//! it calls "floor/other" is the one or the other.
//!
//! Latency is from the moment a burst was put together to the read that brought it. Only the paced load
//! says how long a message takes in a broker with time to spare; in all others the window is always full,
//! and latency is what it takes to turn it over.
//!
//! The generator should use less CPU than the broker, or the broker waits for it and finds smaller batches
//! than it would under a load from many machines. A line says where that is not so: beside the floor it
//! cannot be, as the floor does the same and less.
//!
//! # What is kept on the disk
//!
//! The scenarios of the durability part run postbud with each durability in turn, with the store in
//! cargo's target directory, which should be on a real disk. Their figures are ratios, too: to the
//! same load with durability "memory", to mosquitto without persistence, and to how often in a second
//! the same disk makes 4 KiB durable (`fdatasync`, into a file that has its room), measured in between.
//! Bytes written are those of the broker's calls to write to a file; to the disk go whole pages, which
//! is at most two more for each flush.
//!
//! # What is checked
//!
//! Each payload carries its publisher, a sequence number and the moment it was written. Every
//! subscriber keeps a ledger: lost, received twice, out of order, misrouted. A group has one ledger
//! together: what comes to two of its members was received twice.
//! A fast broker that loses messages is no result: such figures are printed with a warning and the
//! bench exits with status 1. Loads are bounded in connections, outstanding messages and time; a
//! broker that dies or falls silent ends its turn with a message that says so.
//!
//! # Use
//!
//! ```text
//! cargo bench --bench brokers                             all scenarios, less than ten minutes
//! cargo bench --bench brokers -- quick                    all scenarios, less than a minute
//! cargo bench --bench brokers -- durability               only what is kept on the disk
//! cargo bench --bench brokers -- durability full          with 10,000,000 messages in a queue
//! cargo bench --bench brokers -- --only pairs,tls-idle    names or beginnings, comma-separated (--list)
//! cargo bench --bench brokers -- --brokers postbud,floor
//! cargo bench --bench brokers -- --broker 'name=command {port}'
//! cargo bench --bench brokers -- --syscalls               also count system calls, with strace
//! cargo bench --bench brokers -- --help
//! ```
//!
//! Started without cargo's `--bench` flag, as `cargo test --all-targets` does, the harness checks
//! itself instead: it runs against floors that lose, repeat, swap, misroute, fall silent or die,
//! and holds pieces of itself against what no floor can show; it fails unless it notices each fault.
//!
//! # Where things are
//!
//! | module | what it is for |
//! |---|---|
//! | `scenario` | the table: which loads there are, and which goals they have |
//! | `traffic` | what kinds of load there are |
//! | `rounds` | who runs when: starts brokers in turn, collects what was measured |
//! | `broker` | starting, finding ready, and ending a broker |
//! | `load` | the generator: the epoll loop and its windows |
//! | `flow`, `ledger` | one publisher's stream of messages, and what arrived of it |
//! | `beside` | who else is connected while the load runs |
//! | `durability` | what is kept on the disk: which scenarios, where, and their goals |
//! | `kept` | sessions that are kept: what each durability costs |
//! | `deep` | a queue that is deep: its restart, its end, its neighbours |
//! | `disk` | what the disk can do, and how much of it is used |
//! | `stream` | a connection's bytes, plain or inside TLS |
//! | `certificate` | what brokers show in TLS, and the generator trusts |
//! | `connections` | loads without messages: idle connections, connection churn |
//! | `retained` | retained messages in a great number |
//! | `process` | CPU, memory and context switches out of `/proc`; system calls out of strace |
//! | `histogram` | latency |
//! | `wire` | the few bytes of MQTT 3.1.1 and 5.0 that generator and floor speak |
//! | `floor` | the bare relay |
//! | `report` | medians, ratios, tables |
//! | `summary` | goals, and the table of all scenarios |
//! | `self_check` | does the harness notice what it claims to notice? |
//! | `pieces` | the same of what no floor can show |

#![forbid(unsafe_code)]

mod arguments;
mod beside;
mod broker;
mod certificate;
mod connections;
mod deep;
mod disk;
mod durability;
mod failure;
mod floor;
mod flow;
mod histogram;
mod kept;
mod ledger;
mod load;
mod pieces;
mod process;
mod report;
mod retained;
mod rounds;
mod scenario;
mod self_check;
mod stream;
mod summary;
mod traffic;
mod wire;

use std::process::ExitCode;

use arguments::Task;
use failure::Failure;

fn main() -> ExitCode {
    let outcome = arguments::parse(std::env::args().skip(1)).and_then(|task| match task {
        Task::Floor { port, fault } => floor::serve(port, fault).map(|()| true),
        Task::Help => {
            print!("{}", arguments::HELP);
            Ok(true)
        }
        Task::List => {
            let table = scenario::TABLE.iter().map(|it| (it.name, it.what));
            for (name, what) in table.chain(durability::NAMED) {
                println!("{name:<13}{what}");
            }
            Ok(true)
        }
        Task::SelfCheck => with_descriptors(self_check::run),
        Task::Measure(options) => with_descriptors(|| rounds::run(&options)),
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("brokers: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Runs `work` in a process whose soft descriptor limit is the hard one, which children inherit.
/// The standard library cannot set it, a shell can: where it is lower, this process is replaced by
/// a shell that raises it and runs the same command line again.
fn with_descriptors(work: impl FnOnce() -> Result<bool, Failure>) -> Result<bool, Failure> {
    use std::os::unix::process::CommandExt;

    const RAISED: &str = "BROKERS_BENCH_DESCRIPTORS_RAISED";
    let limits = process::descriptor_limits()?;
    if limits.soft < limits.hard && std::env::var_os(RAISED).is_none() {
        let this = std::env::current_exe()?;
        // Comes back only if the shell could not be started; the load then makes do with less.
        let refused = std::process::Command::new("sh")
            .args(["-c", "ulimit -n \"$(ulimit -Hn)\"; exec \"$0\" \"$@\""])
            .arg(this)
            .args(std::env::args_os().skip(1))
            .env(RAISED, "1")
            .exec();
        eprintln!(
            "brokers: the descriptor limit stays at {}: {refused}",
            limits.soft
        );
    }
    work()
}
