//! A broker on a directory that outlives it, and where clients find it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::support::folder::Folder;
use crate::support::http::get;
use crate::support::metrics;
use crate::support::process::{Finished, Process};
use crate::support::{DEADLINE, broker};

/// A directory with a store, and the broker that runs on it now, if one does.
pub struct House {
    folder: Folder,
    file: PathBuf,
    /// What the command begins with, if not with the broker.
    before: Vec<String>,
    running: Option<Running>,
}

struct Running {
    process: Process,
    tcp: SocketAddr,
    http: SocketAddr,
}

impl House {
    /// A house whose configuration has, beside the listeners, what is given. `{data}` is where the store is.
    pub fn new(rest: &str) -> Self {
        let folder = Folder::new();
        let data = folder.path().join("data");
        let listeners = "[[listener]]\nkind = \"tcp\"\naddress = \"127.0.0.1:0\"\n\
                         [http]\naddress = \"127.0.0.1:0\"\n[auth]\nanonymous = true\n";
        let rest = rest.replace("{data}", &data.display().to_string());
        let file = folder.write("postbud.toml", format!("{listeners}{rest}"));
        Self {
            folder,
            file,
            before: Vec::new(),
            running: None,
        }
    }

    /// Where the store is, if the configuration says `{data}`.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Has the broker started by another program, which becomes it.
    pub fn enter(&mut self, before: Vec<String>) {
        self.before = before;
    }

    fn launch(&self) -> Process {
        let mut command = broker::command(self.folder.path());
        if let Some((program, arguments)) = self.before.split_first() {
            let broker = command;
            command = Command::new(program);
            command.args(arguments).arg(broker.get_program());
            for (name, _) in broker.get_envs().filter(|(_, value)| value.is_none()) {
                command.env_remove(name);
            }
        }
        command.arg("--config").arg(&self.file);
        Process::start(command)
    }

    /// Starts a broker that is not going to start.
    #[track_caller]
    pub fn fail(&self) -> Finished {
        self.launch().finish()
    }

    /// Starts the broker and waits until it listens.
    #[track_caller]
    pub fn start(&mut self) -> SocketAddr {
        let process = self.launch();
        let tcp = broker::listening(&process, "tcp");
        let http = broker::listening(&process, "http");
        self.running = Some(Running { process, tcp, http });
        tcp
    }

    /// Starts the broker and kills it so soon that it may not have come far.
    pub fn start_and_kill(&self, after: Duration) {
        let process = self.launch();
        // There is no event to wait for: any moment is a good one.
        std::thread::sleep(after);
        process.kill();
    }

    /// Ends the broker as a crash would.
    pub fn kill(&mut self) {
        self.take().process.kill();
    }

    /// Asks the broker to stop and waits until it has.
    #[track_caller]
    pub fn stop(&mut self) -> Finished {
        let running = self.take();
        running.process.terminate();
        running.process.finish()
    }

    /// MQTT over TCP.
    pub fn tcp(&self) -> SocketAddr {
        self.now().tcp
    }

    /// Status and body of what is at `path` over HTTP.
    pub fn get(&self, path: &str) -> (u16, String) {
        get(self.now().http, path)
    }

    /// The value of a metric.
    #[track_caller]
    pub fn sample(&self, name: &str) -> f64 {
        let (_, metrics) = self.get("/metrics");
        metrics::sample(&metrics, name).unwrap_or_else(|| panic!("no {name} in:\n{metrics}"))
    }

    /// Waits until this metric has this value.
    #[track_caller]
    pub fn wait_for_sample(&self, name: &str, value: f64) {
        metrics::wait_for(self.now().http, &[(name, value)]);
    }

    /// Waits until everything the broker has told its store is written.
    #[track_caller]
    pub fn settle(&self) {
        self.wait_for_sample("postbud_store_pending_bytes", 0.0);
    }

    /// Waits until the broker has logged a line with all these words.
    #[track_caller]
    pub fn wait_for_log(&self, words: &[&str]) -> String {
        let what = format!("a line with {words:?}");
        let has_all = |line: &str| words.iter().all(|word| line.contains(word));
        self.now().process.wait_for(&what, has_all)
    }

    /// Lines that no broker should log.
    pub fn alarming(&self) -> Vec<String> {
        let mut lines = self.now().process.lines();
        lines.retain(|line| line.contains("ERROR") || line.contains("panicked"));
        lines
    }

    fn now(&self) -> &Running {
        self.running.as_ref().expect("a broker is running")
    }

    fn take(&mut self) -> Running {
        self.running.take().expect("a broker is running")
    }
}

/// Where the broker is at the moment, for clients that come back after each crash.
#[derive(Default)]
pub struct Door {
    address: Mutex<Option<SocketAddr>>,
    opened: Condvar,
}

impl Door {
    pub fn open(&self, at: SocketAddr) {
        *self.address.lock().expect("nobody panics with it") = Some(at);
        self.opened.notify_all();
    }

    pub fn close(&self) {
        *self.address.lock().expect("nobody panics with it") = None;
    }

    /// Waits until there is a broker.
    #[track_caller]
    pub fn find(&self) -> SocketAddr {
        let end = Instant::now() + DEADLINE;
        let mut address = self.address.lock().expect("nobody panics with it");
        loop {
            if let Some(address) = *address {
                return address;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no broker within {DEADLINE:?}");
            let waited = self.opened.wait_timeout(address, left);
            address = waited.expect("nobody panics with it").0;
        }
    }
}
