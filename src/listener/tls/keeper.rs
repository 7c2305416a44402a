//! Reads the files of one listener again, when they change or when it is asked to.
//!
//! ```text
//!   every few seconds: has a file changed? ─┐
//!                                           ├─> read all ─┬─ right ─> in force for new connections
//!   reload: Keeper::prepare ────────────────┘             └─ wrong ─> told; the old ones stay
//! ```
//!
//! Nothing is ever taken from some files and not from others: either all that they hold now is in force, or
//! all that was. What is wrong is told once, and tried again when a file changes once more, so a certificate
//! that is written half, or before its key, mends itself.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use super::super::options::TlsOptions;
use super::acceptor::Acceptor;
use super::error::Error;
use super::readings::Readings;
use super::setup::{Content, Date, Setup, unix};

/// How long before its end it is told that a certificate ends.
const NOTICE: Duration = DAY.saturating_mul(14);

/// How often what is to be told of the end of certificates is told again.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How often it is looked whether there is anything to do, if files are not.
const PAUSE: Duration = Duration::from_secs(60);

/// Keeps an acceptor up to date with the files.
#[derive(Debug)]
pub struct Keeper {
    acceptor: Arc<Acceptor>,
    files: Mutex<Files>,
}

/// What is known of the files.
#[derive(Debug)]
struct Files {
    /// What names them.
    options: TlsOptions,
    /// As they were when what is in force was read.
    in_force: Readings,
    /// As they were when they were last tried in vain, if that was later.
    in_vain: Option<Readings>,
    tally: Tally,
}

/// What became of reading files again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// How often it went well.
    pub successes: u64,
    /// How often it did not.
    pub failures: u64,
    /// Whether it did not the last time.
    pub failing: bool,
    /// When files were last read and found right, the first time included.
    pub last_success: SystemTime,
}

/// How a listener's TLS is.
#[derive(Clone, Debug)]
pub struct Status {
    /// The name of the listener.
    pub listener: Arc<str>,
    /// What became of reading files again.
    pub tally: Tally,
    /// Until when each of those in force is good.
    pub dates: Vec<Date>,
}

/// What was read and found right, for a listener that has not taken it yet.
pub struct Prepared {
    keeper: Arc<Keeper>,
    options: TlsOptions,
    setup: Setup,
    readings: Readings,
}

impl Keeper {
    /// Reads the files for the listener of this name.
    ///
    /// # Errors
    ///
    /// Says which file is wrong, and why.
    pub fn new(listener: Arc<str>, options: &TlsOptions) -> Result<Self, Error> {
        let mut readings = Readings::default();
        let setup = Setup::read(options, &mut readings)?;
        Ok(Self {
            acceptor: Arc::new(Acceptor::new(listener, setup)),
            files: Mutex::new(Files {
                options: options.clone(),
                in_force: readings,
                in_vain: None,
                tally: Tally {
                    successes: 0,
                    failures: 0,
                    failing: false,
                    last_success: SystemTime::now(),
                },
            }),
        })
    }

    /// What accepts with what is kept here.
    pub fn acceptor(&self) -> Arc<Acceptor> {
        Arc::clone(&self.acceptor)
    }

    /// How it is.
    pub fn status(&self) -> Status {
        Status {
            listener: self.acceptor.listener().into(),
            tally: self.files.lock().tally,
            dates: self.acceptor.setup().dates.clone(),
        }
    }

    /// Reads the files that `options` name. Nothing changes until the outcome is applied. Waits for the disk.
    ///
    /// # Errors
    ///
    /// Says which file is wrong, and why; that is counted, and the old ones stay in force.
    pub fn prepare(self: &Arc<Self>, options: &TlsOptions) -> Result<Prepared, Error> {
        let mut readings = Readings::default();
        match self.read(options, &mut readings) {
            Ok(setup) => Ok(Prepared {
                keeper: Arc::clone(self),
                options: options.clone(),
                setup,
                readings,
            }),
            Err(error) => {
                self.files.lock().tally.failed();
                Err(error)
            }
        }
    }

    /// Looks after the files for as long as the process runs, and tells what is about to end.
    pub async fn watch(self: Arc<Self>) {
        let mut told = None;
        loop {
            self.tell_ends(&mut told);
            let interval = self.files.lock().options.reload_interval;
            if interval.is_zero() {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            tokio::time::sleep(interval).await;
            let keeper = Arc::clone(&self);
            // Disks may be slow, or far away.
            let look = tokio::task::spawn_blocking(move || keeper.look());
            if let Err(error) = look.await {
                tracing::error!("looking after certificates failed: {error}");
            }
        }
    }

    /// Reads the files if they have changed, and puts in force what is right.
    fn look(&self) {
        let options = {
            let files = self.files.lock();
            if !files
                .in_vain
                .as_ref()
                .unwrap_or(&files.in_force)
                .are_outdated()
            {
                return;
            }
            files.options.clone()
        };
        let mut readings = Readings::default();
        let outcome = self.read(&options, &mut readings);
        let mut files = self.files.lock();
        // A reload was faster, and has its own files.
        if files.options != options {
            return;
        }
        match outcome {
            Ok(setup) => {
                if files.tally.failing || !files.in_force.are_as(&readings) {
                    self.put_in_force(&mut files, setup, readings);
                } else {
                    files.in_force = readings;
                }
            }
            Err(error) => {
                if !files
                    .in_vain
                    .as_ref()
                    .is_some_and(|it| it.are_as(&readings))
                {
                    files.tally.failed();
                    let listener = self.acceptor.listener();
                    let error = with_causes(&error);
                    tracing::error!(listener, "certificates stay as they are: {error}");
                }
                files.in_vain = Some(readings);
            }
        }
    }

    fn read(&self, options: &TlsOptions, readings: &mut Readings) -> Result<Setup, Error> {
        let setup = Setup::read(options, readings)?;
        let now = SystemTime::now();
        match setup.not_valid(now) {
            Some(path) if self.acceptor.setup().not_valid(now).is_none() => Err(Error::NotNow {
                path: path.to_owned(),
            }),
            _ => Ok(setup),
        }
    }

    fn put_in_force(&self, files: &mut Files, setup: Setup, readings: Readings) {
        let listener = self.acceptor.listener();
        if files.in_force.are_as(&readings) {
            tracing::info!(listener, "certificates are as those in force again");
        } else {
            tracing::info!(listener, "certificates read again, for new connections");
        }
        self.acceptor.replace(setup);
        files.in_force = readings;
        files.in_vain = None;
        files.tally.successes += 1;
        files.tally.failing = false;
        files.tally.last_success = SystemTime::now();
    }

    /// Tells of what has ended or is about to: of what is new at once, and then every day.
    fn tell_ends(&self, told: &mut Option<(Arc<Setup>, Instant)>) {
        let setup = self.acceptor.setup();
        let is_told =
            |(of, at): &(Arc<Setup>, Instant)| Arc::ptr_eq(of, &setup) && at.elapsed() < DAY;
        if told.as_ref().is_some_and(is_told) {
            return;
        }
        let listener = self.acceptor.listener();
        for date in &setup.dates {
            if let Some(text) = ending(date, SystemTime::now()) {
                tracing::warn!(listener, "{}: {text}", date.path.display());
            }
        }
        *told = Some((setup, Instant::now()));
    }
}

impl Tally {
    fn failed(&mut self) {
        self.failures += 1;
        self.failing = true;
    }
}

impl Prepared {
    /// Puts it in force, for new connections.
    pub fn apply(self) {
        let mut files = self.keeper.files.lock();
        files.options = self.options;
        self.keeper
            .put_in_force(&mut files, self.setup, self.readings);
    }
}

/// What is to be told of the end of a file's contents, if anything.
fn ending(date: &Date, now: SystemTime) -> Option<String> {
    let left = date.until?.saturating_sub(unix(now));
    let days = left / DAY.as_secs().cast_signed();
    match date.content {
        Content::RevocationList if left < 0 => {
            Some("the next revocation list was due and is not there".to_owned())
        }
        Content::RevocationList => None,
        Content::Certificate | Content::Authorities if left < 0 => {
            Some("a certificate has expired".to_owned())
        }
        Content::Certificate | Content::Authorities => {
            let soon = left < NOTICE.as_secs().cast_signed();
            soon.then(|| format!("a certificate expires in {days} days"))
        }
    }
}

/// The error and its causes on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
