//! A child process with a deadline on everything.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::DEADLINE;

/// A running child, killed when dropped. Both its streams are read as they come, so it never blocks on
/// a full pipe; a failing test shows all it said.
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Output>,
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub struct Finished {
    /// Exit code; none if a signal ended it.
    pub code: Option<i32>,
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

struct Output {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    lines: Vec<(Stream, String)>,
    /// Streams that have not ended.
    open: usize,
}

impl Process {
    /// Starts `command` with nothing on its standard input.
    pub fn start(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let program = command.get_program().to_string_lossy().into_owned();
        let name = program.rsplit('/').next().unwrap_or(&program).to_owned();
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("`{program}` does not start: {error} (does tests/setup.sh pass?)")
        });
        let state = Mutex::new(State {
            lines: Vec::new(),
            open: 2,
        });
        let output = Arc::new(Output {
            state,
            changed: Condvar::new(),
        });
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        read_lines(stdout, Stream::Stdout, Arc::clone(&output));
        read_lines(stderr, Stream::Stderr, Arc::clone(&output));
        Self {
            name,
            child,
            output,
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line, on either stream, past or future, and returns the first.
    #[track_caller]
    pub fn wait_for(&self, what: &str, matches: impl Fn(&str) -> bool) -> String {
        let found = self.wait_until(what, |state| {
            state
                .lines
                .iter()
                .map(|(_, line)| line)
                .find(|line| matches(line))
                .cloned()
        });
        found.unwrap_or_else(|| panic!("{} ended without {what}", self.name))
    }

    /// Waits until standard output has `count` lines that begin with `prefix`, and returns their rests.
    #[track_caller]
    pub fn wait_for_lines(&self, count: usize, prefix: &str) -> Vec<String> {
        let what = format!("{count} lines that begin with `{prefix}`");
        let found = self.wait_until(&what, |state| {
            let lines = state.of(Stream::Stdout);
            let lines: Vec<_> = lines
                .iter()
                .filter_map(|line| line.strip_prefix(prefix))
                .collect();
            (lines.len() >= count).then(|| lines.into_iter().map(str::to_owned).collect())
        });
        found.unwrap_or_else(|| panic!("{} ended without {what}", self.name))
    }

    /// Every line so far, on both streams.
    pub fn lines(&self) -> Vec<String> {
        let state = self.output.state.lock().expect("no reader panics");
        state.lines.iter().map(|(_, line)| line.clone()).collect()
    }

    /// Waits for the end of the process.
    #[track_caller]
    pub fn finish(mut self) -> Finished {
        // Both streams end with the process, and their ends can be waited for with a deadline.
        self.wait_until("its end", |_| None::<()>);
        let status = self.child.wait().expect("a child can be waited for");
        let state = self.output.state.lock().expect("no reader panics");
        Finished {
            code: status.code(),
            stdout: state.of(Stream::Stdout),
            stderr: state.of(Stream::Stderr),
        }
    }

    /// Waits for the end of the process, which must be a success.
    #[track_caller]
    pub fn succeed(self) -> Finished {
        let name = self.name.clone();
        let finished = self.finish();
        let said = finished.stderr.join("\n");
        assert_eq!(finished.code, Some(0), "{name} failed:\n{said}");
        finished
    }

    /// Asks the process to end (SIGTERM).
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal by its name without SIG.
    pub fn signal(&self, name: &str) {
        // The standard library sends no signals but SIGKILL; every shell has a `kill`.
        let command = ["-c", "kill -\"$0\" \"$1\"", name, &self.id().to_string()];
        let status = Command::new("sh").args(command).status().expect("a shell");
        assert!(status.success(), "{} takes no signal", self.name);
    }

    /// Ends the process at once (SIGKILL): its sockets are closed by the kernel, without a farewell.
    pub fn kill(mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child can be waited for");
    }

    /// Waits until `found` finds something, or, with nothing, until the process has said its last.
    #[track_caller]
    fn wait_until<T>(&self, what: &str, found: impl Fn(&State) -> Option<T>) -> Option<T> {
        let end = Instant::now() + DEADLINE;
        let mut state = self.output.state.lock().expect("no reader panics");
        loop {
            let result = found(&state);
            if result.is_some() || state.open == 0 {
                return result;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(state);
                panic!("{}: {what} did not come within {DEADLINE:?}", self.name);
            }
            let waited = self.output.changed.wait_timeout(state, left);
            state = waited.expect("no reader panics").0;
        }
    }

    fn transcript(&self) -> String {
        let mut transcript = format!("--- {} (process {}) said:\n", self.name, self.id());
        let state = self.output.state.lock().expect("no reader panics");
        for (_, line) in &state.lines {
            let shown: String = line.chars().take(400).collect();
            let _ = writeln!(transcript, "    {shown}");
        }
        transcript
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            eprint!("{}", self.transcript());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl State {
    fn of(&self, stream: Stream) -> Vec<String> {
        let lines = self.lines.iter().filter(|(from, _)| *from == stream);
        lines.map(|(_, line)| line.clone()).collect()
    }
}

/// Waits until all of them together have printed `count` lines that begin with `prefix`; returns the
/// rests of these lines, for each process its own.
#[track_caller]
pub fn wait_for_lines_of_all(
    processes: &[Process],
    count: usize,
    prefix: &str,
) -> Vec<Vec<String>> {
    let end = Instant::now() + DEADLINE;
    loop {
        let printed = processes
            .iter()
            .map(|process| process.wait_for_lines(0, prefix));
        let printed: Vec<Vec<String>> = printed.collect();
        let sum: usize = printed.iter().map(Vec::len).sum();
        if sum >= count {
            return printed;
        }
        assert!(
            Instant::now() < end,
            "{sum} of {count} lines within {DEADLINE:?}: {printed:?}"
        );
        // Several processes cannot be waited for at once: look again soon.
        thread::sleep(Duration::from_millis(5));
    }
}

fn read_lines(source: impl Read + Send + 'static, stream: Stream, output: Arc<Output>) {
    thread::spawn(move || {
        let mut source = BufReader::new(source);
        let mut line = Vec::new();
        while source
            .read_until(b'\n', &mut line)
            .is_ok_and(|length| length > 0)
        {
            let text = String::from_utf8_lossy(&line)
                .trim_end_matches('\n')
                .to_owned();
            line.clear();
            output
                .state
                .lock()
                .expect("no test panics here")
                .lines
                .push((stream, text));
            output.changed.notify_all();
        }
        output.state.lock().expect("no test panics here").open -= 1;
        output.changed.notify_all();
    });
}
