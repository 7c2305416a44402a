//! Who has a verifier, and what those are told who have none.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::rand;

use super::super::entries::{self, Flaw};
use super::verifier::{Verifier, mac, prepare};

/// The users of a file.
pub struct Users {
    known: HashMap<Arc<str>, Arc<Verifier>>,
    /// Iterations and bytes of salt that most of them have.
    usual: (NonZeroU32, usize),
}

/// Whom a name belongs to.
pub struct Found {
    /// The user, if there is one.
    pub user: Option<Arc<str>>,
    /// The user's verifier, or one that looks like it and is of no password.
    pub verifier: Arc<Verifier>,
}

/// Keys the salts of unknown users, so that nobody can tell them from those of a file.
static SECRET: OnceLock<[u8; 32]> = OnceLock::new();

impl Users {
    /// These users; nothing if the system has no randomness to give.
    pub fn new(known: HashMap<Arc<str>, Arc<Verifier>>) -> Option<Self> {
        if SECRET.get().is_none() {
            let mut secret = [0; 32];
            rand::fill(&mut secret).ok()?;
            SECRET.get_or_init(|| secret);
        }
        let all = known.values();
        let usual = entries::usual(all.map(|it| (it.iterations(), it.salt().len())));
        let usual = usual.unwrap_or(Verifier::NEW);
        Some(Self { known, usual })
    }

    /// The user of this name. An unknown name has the same salt each time it is asked for, for as long as the
    /// process lives, as a known one has.
    pub fn find(&self, name: &str) -> Found {
        let prepared = prepare(name);
        let known = prepared.and_then(|name| self.known.get_key_value(&*name));
        let (iterations, length) = self.usual;
        // Made in any case: it takes its time.
        let secret = SECRET.get().map_or(&[][..], |it| &it[..]);
        let [one, two] = [&b"1"[..], b"2"].map(|half| mac(&mac(secret, half), name.as_bytes()));
        let salt = [one, two].concat();
        let nobody = Verifier::of_nobody(iterations, &salt[..length.min(salt.len())]);
        match known {
            Some((user, verifier)) => Found {
                user: Some(Arc::clone(user)),
                verifier: Arc::clone(verifier),
            },
            None => Found {
                user: None,
                verifier: Arc::new(nobody),
            },
        }
    }
}

/// Whether a name can be that of a user here.
///
/// # Errors
///
/// It is not in the form in which names are compared, and so nobody could be it.
pub fn check_name(name: &str) -> Result<(), Flaw> {
    match prepare(name) {
        Some(prepared) if prepared == name => Ok(()),
        _ => Err(Flaw::Name("one in the form of SASLprep (RFC 4013)")),
    }
}
