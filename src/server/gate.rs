//! The gate, of the parts that the configuration names.

use std::fmt;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::auth::acl;
use crate::auth::callback::Callback;
use crate::auth::counts::Counts;
use crate::auth::gate::{Method, Parts, Way};
use crate::auth::options::{Options, WayName};
use crate::auth::password::{self, Passwords};
use crate::auth::scram::{self, Scram};
use crate::auth::token::remote::LastGood;
use crate::auth::token::{self, Tokens};
use crate::auth::web;

/// A part that cannot be had.
#[derive(Debug)]
pub enum Error {
    /// The password file.
    Password(password::Error),
    /// The file of verifiers for SCRAM-SHA-256.
    Scram(scram::Error),
    /// What tokens are checked with.
    Token(token::Error),
    /// A service that is asked by HTTP.
    Http(web::Error),
    /// The rules about topics.
    Acl(acl::error::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password(error) => error.fmt(f),
            Self::Scram(error) => error.fmt(f),
            Self::Token(error) => error.fmt(f),
            Self::Http(error) => error.fmt(f),
            Self::Acl(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Password(error) => error.source(),
            Self::Scram(error) => error.source(),
            Self::Token(error) => error.source(),
            Self::Http(error) => error.source(),
            Self::Acl(error) => error.source(),
        }
    }
}

/// What all parts that are made one after another share.
#[derive(Clone)]
pub(super) struct Lasting {
    /// Where they do what takes its time.
    pub runtime: Handle,
    /// What they count.
    pub counts: Arc<Counts>,
    /// The keys of tokens that were fetched last.
    pub keys: Arc<LastGood>,
}

impl Lasting {
    /// Nothing is counted or known yet.
    pub(super) fn on(runtime: &Handle) -> Self {
        Self {
            runtime: runtime.clone(),
            counts: Arc::default(),
            keys: Arc::default(),
        }
    }
}

/// Makes the parts: at the start, and again at each reload.
///
/// # Errors
///
/// A part cannot be had, most likely because a file that the configuration names is wrong.
pub(super) fn parts(options: &Options, lasting: &Lasting) -> Result<Parts, Error> {
    let counts = &lasting.counts;
    let mut service =
        Callback::new(&options.http, &lasting.runtime, counts).map_err(Error::Http)?;
    let mut ways: Vec<Box<dyn Way>> = Vec::new();
    for name in &options.ways {
        match name {
            WayName::Http => ways.extend(service.way.take()),
            name => ways.extend(way(*name, options, lasting)?),
        }
    }
    let mut methods: Vec<Box<dyn Method>> = Vec::new();
    if let Some(file) = &options.scram.file {
        methods.push(Box::new(Scram::open(file).map_err(Error::Scram)?));
    }
    let mut rules = acl::rules(&options.acl).map_err(Error::Acl)?;
    rules.extend(service.rules);
    rules.extend(acl::last(&options.acl));
    Ok(Parts {
        anonymous: options.anonymous,
        ways,
        methods,
        rules,
    })
}

/// A way of proof that stands by itself, if there is anything configured for it.
fn way(name: WayName, options: &Options, lasting: &Lasting) -> Result<Option<Box<dyn Way>>, Error> {
    match name {
        WayName::Password => {
            let Some(file) = &options.password.file else {
                return Ok(None);
            };
            let passwords = Passwords::open(file, &options.password).map_err(Error::Password)?;
            Ok(Some(Box::new(passwords)))
        }
        WayName::Token if options.token.is_on() => {
            let Lasting {
                runtime,
                counts,
                keys,
            } = lasting;
            let tokens = Tokens::new(&options.token, runtime, counts, keys);
            Ok(Some(Box::new(tokens.map_err(Error::Token)?)))
        }
        WayName::Certificate | WayName::Token | WayName::Http => Ok(None),
    }
}
