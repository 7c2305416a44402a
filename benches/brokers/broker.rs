//! Brokers as child processes: started on a free port of loopback, ready when they accept an MQTT
//! connection, ended by process id.

use std::fs::{self, File};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::certificate::{self, Certificate};
use super::connections::{self, Way};
use super::failure::Failure;
use super::floor::{FAULTS, Fault};
use super::process;
use super::traffic::Traffic;
use super::wire;

/// How long a broker may take until it accepts a connection.
const STARTS_WITHIN: Duration = Duration::from_secs(15);
/// How long it may take to end when asked to; then it is killed.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
/// Another process may take the chosen port before the broker binds it: tries.
const TRIES: usize = 3;

/// A broker that can be started.
#[derive(Debug, Clone)]
pub struct Broker {
    /// What tables call it.
    pub name: String,
    kind: Kind,
    keeping: Keeping,
    certificate: Option<Certificate>,
    /// Whether bounds on what is retained, and on what waits for one client, are out of the way.
    is_unbounded: bool,
}

/// What a postbud keeps, and where.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// `[store] durability`.
    pub durability: &'static str,
    /// `[store] path`.
    pub path: PathBuf,
    /// `[queue] messages`; bytes to match.
    pub queue: u64,
}

impl Default for Keeping {
    /// Everything in memory, in queues of the default size.
    fn default() -> Keeping {
        Keeping {
            durability: "memory",
            path: PathBuf::from("data"),
            queue: 10_000,
        }
    }
}

#[derive(Debug, Clone)]
enum Kind {
    Postbud(PathBuf),
    Mosquitto(PathBuf),
    Floor(Fault),
    /// A command line with `{port}` and `{config}`.
    Command(String),
}

impl Broker {
    /// The postbud that cargo built for this bench, or `None` in a build without it.
    pub fn postbud() -> Option<Broker> {
        let path = option_env!("CARGO_BIN_EXE_postbud").map(PathBuf::from)?;
        path.exists().then(|| Broker {
            name: "postbud".to_owned(),
            kind: Kind::Postbud(path),
            keeping: Keeping::default(),
            certificate: None,
            is_unbounded: false,
        })
    }

    /// The same postbud, called `name`, that keeps what `keeping` says.
    pub fn that_keeps(&self, name: &str, keeping: Keeping) -> Broker {
        Broker {
            name: name.to_owned(),
            kind: self.kind.clone(),
            keeping,
            certificate: None,
            is_unbounded: false,
        }
    }

    /// The same broker, with a second listener that is inside TLS.
    pub fn with_tls(&self, certificate: Certificate) -> Broker {
        Broker {
            certificate: Some(certificate),
            ..self.clone()
        }
    }

    /// The same broker, with bounds out of the way that a million retained messages could reach.
    pub fn without_bounds(&self) -> Broker {
        Broker {
            is_unbounded: true,
            ..self.clone()
        }
    }

    /// Whether it can be reached inside TLS.
    pub fn speaks_tls(&self) -> bool {
        match &self.kind {
            Kind::Postbud(_) | Kind::Mosquitto(_) => true,
            Kind::Floor(_) => false,
            Kind::Command(line) => line.contains("{config}"),
        }
    }

    /// The mosquitto that is installed, or `None`.
    pub fn mosquitto() -> Option<Broker> {
        let search = std::env::var_os("PATH").unwrap_or_default();
        // Debian installs it where an ordinary user's PATH does not lead.
        let places = std::env::split_paths(&search)
            .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
            .map(|place| place.join("mosquitto"));
        let path = places.into_iter().find(|path| path.is_file())?;
        Some(Broker {
            name: "mosquitto".to_owned(),
            kind: Kind::Mosquitto(path),
            keeping: Keeping::default(),
            certificate: None,
            is_unbounded: false,
        })
    }

    /// The bare relay.
    pub fn floor(fault: Fault) -> Broker {
        let of_fault = FAULTS.iter().find(|(_, known)| *known == fault);
        let name = of_fault.map_or("floor".to_owned(), |(name, _)| {
            format!("floor that does {name}")
        });
        Broker {
            name,
            kind: Kind::Floor(fault),
            keeping: Keeping::default(),
            certificate: None,
            is_unbounded: false,
        }
    }

    /// A broker by command line.
    pub fn command(name: &str, line: &str) -> Broker {
        Broker {
            name: name.to_owned(),
            kind: Kind::Command(line.to_owned()),
            keeping: Keeping::default(),
            certificate: None,
            is_unbounded: false,
        }
    }

    /// Starts it, and waits until it accepts an MQTT connection. Files go to `directory`.
    pub fn start(&self, directory: &Path) -> Result<Running, Failure> {
        let mut last = Failure::new("never tried");
        for _ in 0..TRIES {
            match self.try_start(directory) {
                Ok(running) => return Ok(running),
                Err(failure) => last = failure,
            }
        }
        Err(last.while_doing(format!("{} does not start", self.name)))
    }

    fn try_start(&self, directory: &Path) -> Result<Running, Failure> {
        let ports = Ports {
            plain: free_port()?,
            tls: free_port()?,
            http: free_port()?,
        };
        let port = ports.plain;
        let mut command = self.prepare(directory, &ports)?;
        // What the caller has set for a postbud of their own must not change the one measured.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("POSTBUD_") {
                command.env_remove(name);
            }
        }
        let log = directory.join(format!("{}-{port}.log", file_name(&self.name)));
        let output = File::create(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .current_dir(directory)
            .spawn()
            .map_err(|error| Failure::new(format!("{:?}: {error}", command.get_program())))?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut running = Running {
            child,
            address,
            tls_address: SocketAddr::from(([127, 0, 0, 1], ports.tls)),
            log,
        };
        running.wait_until_ready()?;
        Ok(running)
    }

    fn prepare(&self, directory: &Path, ports: &Ports) -> Result<Command, Failure> {
        let port = ports.plain;
        let mut command;
        match &self.kind {
            Kind::Postbud(path) => {
                command = Command::new(path);
                command
                    .arg("--config")
                    .arg(self.postbud_configuration(directory, ports)?);
            }
            Kind::Mosquitto(path) => {
                command = Command::new(path);
                command
                    .arg("-c")
                    .arg(self.mosquitto_configuration(directory, ports)?);
            }
            Kind::Floor(fault) => {
                command = Command::new(std::env::current_exe()?);
                command.args(["--floor", &port.to_string()]);
                if let Some((name, _)) = FAULTS.iter().find(|(_, known)| known == fault) {
                    command.args(["--fault", name]);
                }
            }
            Kind::Command(line) => {
                let mut line = line.replace("{port}", &port.to_string());
                if line.contains("{config}") {
                    let path = self.postbud_configuration(directory, ports)?;
                    line = line.replace("{config}", &path.to_string_lossy());
                }
                // The shell understands quotes; `exec` makes the broker the process measured.
                command = Command::new("sh");
                command.args(["-c", &format!("exec {line}")]);
            }
        }
        Ok(command)
    }

    /// Postbud with everything at its default, but for addresses, passwords, and what it is to keep.
    fn postbud_configuration(&self, directory: &Path, ports: &Ports) -> Result<PathBuf, Failure> {
        let Ports { plain, tls, http } = ports;
        let path = directory.join(format!("postbud-{plain}.toml"));
        let Keeping {
            durability, queue, ..
        } = &self.keeping;
        let store = self.keeping.path.display();
        let bytes = (16 << 20).max(queue * 1024);
        let mut text = format!(
            "[[listener]]\nkind = \"tcp\"\naddress = \"127.0.0.1:{plain}\"\n\
             [http]\naddress = \"127.0.0.1:{http}\"\n\
             [auth]\nanonymous = true\n\
             [queue]\nmessages = {queue}\nbytes = {bytes}\n\
             [store]\npath = \"{store}\"\ndurability = \"{durability}\"\n\
             [log]\nlevel = \"info\"\n"
        );
        if self.is_unbounded {
            text += "[retained]\nmessages = 4_000_000\nbytes = \"4GiB\"\n";
        }
        if let Some(Certificate { certificate, key }) = &self.certificate {
            text += &format!(
                "[[listener]]\nkind = \"tls\"\naddress = \"127.0.0.1:{tls}\"\n\
                 [listener.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n",
                certificate.display(),
                key.display()
            );
        }
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Mosquitto at its best: no disk, no log, and windows that do not throttle the load.
    fn mosquitto_configuration(&self, directory: &Path, ports: &Ports) -> Result<PathBuf, Failure> {
        let Ports { plain, tls, .. } = ports;
        let queued = if self.is_unbounded { 0 } else { 100_000 };
        let path = directory.join(format!("mosquitto-{plain}.conf"));
        let mut text = format!(
            "allow_anonymous true\npersistence false\nlog_type none\n\
             max_inflight_messages 100\nmax_queued_messages {queued}\n\
             listener {plain} 127.0.0.1\n"
        );
        if let Some(Certificate { certificate, key }) = &self.certificate {
            text += &format!(
                "listener {tls} 127.0.0.1\ncertfile {}\nkeyfile {}\n",
                certificate.display(),
                key.display()
            );
        }
        fs::write(&path, text)?;
        Ok(path)
    }
}

/// Where a broker is to listen.
struct Ports {
    plain: u16,
    tls: u16,
    http: u16,
}

fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn file_name(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect()
}

/// A started broker. Dropped, it is killed.
pub struct Running {
    child: Child,
    address: SocketAddr,
    tls_address: SocketAddr,
    log: PathBuf,
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How to reach it for `traffic`.
    pub fn way(&self, traffic: &Traffic) -> Result<Way, Failure> {
        let mut way = self.way_for_idle(traffic.tls)?;
        way.dialect = traffic.dialect;
        Ok(way)
    }

    /// How to reach it for connections that say nothing.
    pub fn way_for_idle(&self, tls: bool) -> Result<Way, Failure> {
        let mut way = Way::plain(self.address);
        if tls {
            way.address = self.tls_address;
            way.tls = Some(certificate::client()?);
        }
        Ok(way)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as a crash would.
    pub fn kill(mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Tells `failure` with what is known of the broker's end, if it has ended.
    pub fn explain(&mut self, failure: Failure) -> Failure {
        // A process that just closed its sockets may need a moment to be gone.
        std::thread::sleep(Duration::from_millis(50));
        match self.child.try_wait() {
            Ok(Some(status)) => {
                let last_words = last_words(&self.log);
                Failure::new(format!(
                    "{failure}; the broker has ended ({status}){last_words}"
                ))
            }
            _ => failure,
        }
    }

    /// Asks it to end, and kills it if it does not.
    pub fn stop(mut self) -> Result<(), Failure> {
        process::terminate(self.pid());
        let deadline = Instant::now() + ENDS_WITHIN;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                return Err(Failure::new(format!(
                    "it did not end within {ENDS_WITHIN:?} of SIGTERM"
                )));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn wait_until_ready(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + STARTS_WITHIN;
        loop {
            let failure = match connections::open(&Way::plain(self.address), "ready") {
                Ok(mut stream) => {
                    let _ = stream.write_all(&wire::DISCONNECT);
                    return Ok(());
                }
                Err(failure) => failure,
            };
            if let Some(status) = self.child.try_wait()? {
                let last_words = last_words(&self.log);
                return Err(Failure::new(format!("it ended ({status}){last_words}")));
            }
            if Instant::now() > deadline {
                return Err(failure.while_doing(format!("not ready within {STARTS_WITHIN:?}")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last lines of a log, to be appended to a message.
fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(3).collect();
    lines
        .iter()
        .rev()
        .map(|line| format!("\n    | {line}"))
        .collect()
}

/// A directory for configurations and logs that goes when it is dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Creates it among the system's temporary files.
    pub fn new() -> Result<Scratch, Failure> {
        Scratch::within(&std::env::temp_dir())
    }

    /// Creates it in a directory.
    pub fn within(directory: &Path) -> Result<Scratch, Failure> {
        let path = directory.join(format!("brokers-bench-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Scratch(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
