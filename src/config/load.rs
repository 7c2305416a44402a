//! Finds the configuration, reads it and hands out the result.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::auth::options::Options as AuthOptions;
use crate::broker::options::Options as BrokerOptions;
use crate::control::options::Options as ControlOptions;
use crate::http::options::Options as HttpOptions;
use crate::listener::options::{Options as ListenerOptions, TlsOptions};
use crate::store::options::Options as StoreOptions;

use super::assignments::Assignments;
use super::changes::{self, Change};
use super::environment::Environment;
use super::error::{Error, Place, Position, Problem};
use super::log::Options as LogOptions;
use super::{acl, file, settings, units};

/// The configuration in force when no file is named.
pub(super) const BUILT_IN: &str = include_str!("../../config/postbud.toml");
/// What it is called in errors.
pub(super) const BUILT_IN_NAME: &str = "built-in postbud.toml";
/// Where it looks for its certificate; [`crate::listener::certificates`] makes one there.
const CERTIFICATES: &str = "certs";
/// Size of a file above which it cannot be meant as a configuration.
const LARGEST: u64 = 1024 * 1024;
/// The same of a file of rules, which may be long.
const LARGEST_RULES: u64 = 16 * 1024 * 1024;

/// The options of every room. Relative paths in it are relative to the working directory of the
/// process, not to the file that names them.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the configuration comes from.
    pub origin: Origin,
    /// Listeners and the limits of their connections. At least one listener.
    pub listener: ListenerOptions,
    /// Metrics and health.
    pub http: HttpOptions,
    /// Where an operator asks.
    pub control: ControlOptions,
    /// Who may connect.
    pub auth: AuthOptions,
    /// The broker, with the options of its sessions and of routing.
    pub broker: BrokerOptions,
    /// What is kept, and how safely.
    pub store: StoreOptions,
    /// What is logged.
    pub log: LogOptions,
    /// What was written, where it is in force.
    written: Assignments,
    /// The variables that go before the file.
    environment: Environment,
}

/// Where a configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The one that is built into the binary: a first start, or a very simple life.
    BuiltIn,
    /// The file of this name.
    File(PathBuf),
}

impl Config {
    /// Reads the file at `path`, else the one that `POSTBUD_CONFIG` names, else the one that is
    /// built in; then lays the other `POSTBUD_…` variables of `environment` over it.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, each with its place. If the file cannot be read or is not TOML,
    /// only that.
    pub fn load(
        path: Option<&Path>,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Error> {
        let environment = Environment::new(environment);
        let path = path.map(Path::to_owned).or_else(|| environment.config());
        let origin = path.map_or(Origin::BuiltIn, Origin::File);
        let mut problems = Vec::new();
        let Some(written) = origin.written(&environment, &mut problems) else {
            return Err(Error::new(problems));
        };
        Self::settled(origin, environment, written, problems)
    }

    /// Reads the same file again, with the same variables. Returns what can be in force from now on, and what is
    /// written otherwise than before. What needs a restart is in force as it was.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn read_again(&self) -> Result<(Self, Vec<Change>), Error> {
        let mut problems = Vec::new();
        let Some(now) = self.origin.written(&self.environment, &mut problems) else {
            return Err(Error::new(problems));
        };
        let settle = |written, problems| {
            let environment = self.environment.clone();
            Self::settled(self.origin.clone(), environment, written, problems)
        };
        // It has to be right as it stands, so that the next start is no surprise.
        settle(now.clone(), problems)?;
        let (in_force, changes) = changes::compare(&self.written, &now);
        Ok((settle(in_force, Vec::new())?, changes))
    }

    fn settled(
        origin: Origin,
        environment: Environment,
        written: Assignments,
        mut problems: Vec<Problem>,
    ) -> Result<Self, Error> {
        let settings = settings::settle(&written, &origin.name(), &mut problems);
        if !problems.is_empty() {
            return Err(Error::new(problems));
        }
        Ok(Self {
            written,
            environment,
            origin,
            listener: settings.listener,
            http: settings.http,
            control: settings.control,
            auth: settings.auth,
            broker: settings.broker,
            store: settings.store,
            log: settings.log,
        })
    }

    /// The directory in which a development certificate is wanted if none is there: with the
    /// built-in configuration, as long as a listener still shows the certificate that it names. A
    /// file's or a variable's certificate is its owner's to provide.
    pub fn development_certificates(&self) -> Option<&'static Path> {
        let directory = Path::new(CERTIFICATES);
        let shown = |tls: &TlsOptions| {
            tls.certificate.parent() == Some(directory) && tls.key.parent() == Some(directory)
        };
        let wanted = self.origin == Origin::BuiltIn
            && self
                .listener
                .listeners
                .iter()
                .any(|listener| listener.tls.as_ref().is_some_and(shown));
        wanted.then_some(directory)
    }
}

impl Origin {
    /// What it is called in errors.
    fn name(&self) -> String {
        match self {
            Self::BuiltIn => BUILT_IN_NAME.to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// What is written there, with the variables over it. Nothing if it cannot be read or is not TOML.
    fn written(
        &self,
        environment: &Environment,
        problems: &mut Vec<Problem>,
    ) -> Option<Assignments> {
        let text = match self {
            Self::BuiltIn => Ok(BUILT_IN.to_owned()),
            Self::File(path) => read(path, LARGEST),
        };
        let text = text.map_err(|problem| problems.push(problem)).ok()?;
        let mut written = file::read(&self.name(), &text, problems)?;
        environment.overlay(&mut written, problems);
        if let Some(path) = acl::file_of_rules(&written) {
            match read(&path, LARGEST_RULES) {
                Ok(text) => {
                    let name = path.display().to_string();
                    acl::read(&name, &text, &mut written, problems);
                }
                Err(problem) => problems.push(problem),
            }
        }
        Some(written)
    }
}

/// The file's text.
fn read(path: &Path, most: u64) -> Result<String, Problem> {
    let name = path.display().to_string();
    let problem = |position, text: String| {
        Problem::new(
            Place::File {
                name: name.as_str().into(),
                position,
            },
            text,
        )
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(most + 1).read_to_end(&mut bytes))
        .map_err(|error| problem(None, format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > most {
        let most = units::show_size(most);
        let text = format!("is larger than {most}; expected a configuration");
        return Err(problem(None, text));
    }
    String::from_utf8(bytes).map_err(|error| {
        let sound = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..sound]).into_owned();
        let position = Position::of(&before, sound);
        problem(
            Some(position),
            "not UTF-8; expected TOML, which is UTF-8 text".to_owned(),
        )
    })
}
