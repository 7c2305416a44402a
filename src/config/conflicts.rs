//! What only one of several can have: addresses, files of sockets, names.
//!
//! Finding out when the second is bound would be later, and would not say where the first is written.

use std::net::SocketAddr;
use std::path::Path;

use crate::listener::options::Place as Where;

use super::assignments::{Assignments, Slot};
use super::error::Problem;
use super::settings::Settings;

/// Something that only one can have.
#[derive(Clone, Copy)]
enum Claim<'a> {
    Address(SocketAddr),
    File(&'a Path),
}

impl Claim<'_> {
    /// Whether the system would refuse to give both: an unspecified address covers all others of its
    /// family. Port 0 is a free one each time.
    fn excludes(self, other: Self) -> bool {
        match (self, other) {
            (Self::Address(a), Self::Address(b)) => {
                a.port() != 0
                    && a.port() == b.port()
                    && a.is_ipv4() == b.is_ipv4()
                    && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
            }
            (Self::File(a), Self::File(b)) => a == b,
            _ => false,
        }
    }

    fn show(self) -> String {
        match self {
            Self::Address(address) => address.to_string(),
            Self::File(path) => format!("{:?}", path.to_string_lossy()),
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Address(_) => "an address",
            Self::File(_) => "a file",
        }
    }
}

/// Two listeners cannot share an address, or the file of a socket.
pub fn between_places(written: &Assignments, settings: &Settings) -> Vec<Problem> {
    let listeners = settings.listener.listeners.iter().enumerate();
    let listeners = listeners.map(|(index, listener)| match &listener.place {
        Where::Internet(options) => (
            Slot::of_listener(index, "address"),
            Claim::Address(options.address),
        ),
        Where::Unix(options) => (Slot::of_listener(index, "path"), Claim::File(&options.path)),
    });
    let http = settings.http.address.map(Claim::Address);
    let control = settings.control.socket.as_deref().map(Claim::File);
    let claims = listeners
        .chain(http.map(|claim| (Slot::plain("http.address"), claim)))
        .chain(control.map(|claim| (Slot::plain("control.socket"), claim)));
    let mut known: Vec<(Slot, Claim<'_>)> = Vec::new();
    let mut problems = Vec::new();
    for (slot, claim) in claims {
        if let Some((other, taken)) = known.iter().find(|(_, other)| claim.excludes(*other)) {
            // HTTP may be the default, which is written nowhere; a listener always is written.
            let (at, what, rival) = match written.place(slot) {
                Some(place) => (Some(place), (slot, claim), (*other, *taken)),
                None => (written.place(*other), (*other, *taken), (slot, claim)),
            };
            let rival_place = match written.place(rival.0) {
                Some(place) => format!(" ({place})"),
                None => " (the default)".to_owned(),
            };
            let text = format!(
                "{} is {}, but {} is {}{rival_place}; expected {} of its own",
                what.0,
                what.1.show(),
                rival.0,
                rival.1.show(),
                claim.what(),
            );
            problems.extend(at.map(|place| Problem::new(place.clone(), text)));
        }
        known.push((slot, claim));
    }
    problems
}

/// Two listeners cannot have one name, be it given or made of what is spoken and where.
pub fn between_names(written: &Assignments, settings: &Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    let listeners = &settings.listener.listeners;
    for (index, listener) in listeners.iter().enumerate() {
        let slot = Slot::of_listener(index, "name");
        let (Some(name), Some(place)) = (&listener.name, written.place(slot)) else {
            continue;
        };
        let taken = listeners.iter().enumerate().find(|(other, listener)| {
            let given = listener.name.is_some();
            // Of two that were given the second is wrong.
            (!given || *other < index) && listener.name() == **name
        });
        if let Some((other, _)) = taken {
            let text = format!(
                "{slot} is {name:?}, which is the name of listener.{other}; \
                 expected a name of its own"
            );
            problems.push(Problem::new(place.clone(), text));
        }
    }
    problems
}
