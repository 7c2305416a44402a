//! The gate, of the parts that the configuration names.

use std::fmt;

use crate::auth::gate::{Method, Parts, Way};
use crate::auth::options::{Options, WayName};
use crate::auth::password::{self, Passwords};
use crate::auth::scram::{self, Scram};

/// A part that cannot be had.
#[derive(Debug)]
pub enum Error {
    /// The password file.
    Password(password::Error),
    /// The file of verifiers for SCRAM-SHA-256.
    Scram(scram::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password(error) => error.fmt(f),
            Self::Scram(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Password(error) => error.source(),
            Self::Scram(error) => error.source(),
        }
    }
}

/// Makes the parts: at the start, and again at each reload.
///
/// # Errors
///
/// A part cannot be had, most likely because a file that the configuration names is wrong.
pub(super) fn parts(options: &Options) -> Result<Parts, Error> {
    let mut ways: Vec<Box<dyn Way>> = Vec::new();
    for name in &options.ways {
        ways.extend(way(*name, options)?);
    }
    let mut methods: Vec<Box<dyn Method>> = Vec::new();
    if let Some(file) = &options.scram.file {
        methods.push(Box::new(Scram::open(file).map_err(Error::Scram)?));
    }
    Ok(Parts {
        anonymous: options.anonymous,
        ways,
        methods,
        rules: Vec::new(),
    })
}

/// A way of proof, if there is anything configured for it.
fn way(name: WayName, options: &Options) -> Result<Option<Box<dyn Way>>, Error> {
    match name {
        WayName::Password => {
            let Some(file) = &options.password.file else {
                return Ok(None);
            };
            let passwords = Passwords::open(file, &options.password).map_err(Error::Password)?;
            Ok(Some(Box::new(passwords)))
        }
        WayName::Certificate | WayName::Token | WayName::Http => Ok(None),
    }
}
