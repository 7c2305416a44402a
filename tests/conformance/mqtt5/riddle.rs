//! A broker inside the test process, on a socket like any other, whose authenticator asks a riddle.
//!
//! The program has no Authentication Method yet, so what the specification says of AUTH is tested with the
//! library: everything but the method itself is what the program runs.
//!
//! ```text
//!   CONNECT, method "riddle"          ──>
//!                                     <──  AUTH 0x18 "riddle?"
//!   AUTH 0x18 "right"                 ──>
//!                                     <──  CONNACK 0x00 "welcome"      (with "wrong": 0x87, and the close)
//! ```

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use postbud::auth::{
    Access, AskAgain, Auth, Exchange, Identity, Permission, Request, Step, Tell, Verdict, Who,
};
use postbud::broker::options::Options as BrokerOptions;
use postbud::broker::{Broker, Engines};
use postbud::cluster::single::Single;
use postbud::codec::ReasonCode;
use postbud::listener::accept::Bound;
use postbud::listener::options::{ListenerOptions, Options};
use postbud::store::memory::Memory;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::bytes::{Connect, auth_5, prop, text};
use crate::support::raw::RawClient;

/// The one method that the broker knows.
pub const METHOD: &str = "riddle";

/// Properties of an AUTH, or of a CONNECT: this method, and these data.
pub fn method(name: &str, data: &str) -> Vec<u8> {
    [
        text(prop::AUTHENTICATION_METHOD, name),
        text(prop::AUTHENTICATION_DATA, data),
    ]
    .concat()
}

/// The properties of the right answer.
pub fn right() -> Vec<u8> {
    method(METHOD, "right")
}

/// The broker's question, byte by byte.
pub fn question() -> Vec<u8> {
    auth_5(0x18, &method(METHOD, "riddle?"))
}

/// The broker's AUTH after a re-authentication, byte by byte.
pub fn success() -> Vec<u8> {
    auth_5(0x00, &method(METHOD, "welcome"))
}

/// A CONNECT with the method and no data.
pub fn hello(client_id: &str) -> Connect {
    Connect::v5(client_id).property(text(prop::AUTHENTICATION_METHOD, METHOD))
}

/// The broker, which ends with this value.
pub struct House {
    pub address: SocketAddr,
    runtime: Option<Runtime>,
    _stop: watch::Sender<bool>,
}

impl House {
    #[track_caller]
    pub fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let engines = Engines {
            auth: Arc::new(Doorkeeper),
            store: Arc::new(Memory),
            cluster: Arc::new(Single::default()),
        };
        let mut options = BrokerOptions::default();
        options.session.packet_size_maximum = 256;
        let broker = Arc::new(Broker::new(options, engines));
        let listener = ListenerOptions::tcp((Ipv4Addr::LOCALHOST, 0).into());
        let bound = {
            let _inside = runtime.enter();
            Bound::new(&listener).expect("a port of the system's choice")
        };
        let (stop, stopped) = watch::channel(false);
        let address = bound.address().expect("an address");
        drop(runtime.spawn(bound.serve(
            0,
            broker,
            Arc::new(ArcSwap::from_pointee(Options::default())),
            stopped,
        )));
        Self {
            address,
            runtime: Some(runtime),
            _stop: stop,
        }
    }

    /// A client that has been asked the riddle, and has not answered.
    #[track_caller]
    pub fn asked(&self) -> RawClient {
        let mut client = RawClient::connect(self.address);
        client.send(&hello("asked").bytes());
        client.expect(&question());
        client
    }

    /// A client that has solved the riddle and is connected.
    #[track_caller]
    pub fn inside(&self) -> RawClient {
        let mut client = self.asked();
        client.send(&auth_5(0x18, &right()));
        let connack = client.packet();
        assert_eq!((connack[0], connack[3]), (0x20, 0x00), "{connack:02x?}");
        client
    }

    /// A client that has been asked again, in the middle of its connection.
    #[track_caller]
    pub fn asked_again(&self) -> RawClient {
        let mut client = self.inside();
        client.send(&auth_5(0x19, &text(prop::AUTHENTICATION_METHOD, METHOD)));
        client.expect(&question());
        client
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Doorkeeper;

impl Auth for Doorkeeper {
    fn authenticate(&self, _: &Request<'_>, _: &mut dyn FnMut() -> Tell) -> Verdict {
        Verdict::Accept(Identity::default())
    }

    fn exchange(&self, method: &str, _: &Request<'_>) -> Option<Box<dyn Exchange>> {
        (method == METHOD).then(|| Box::new(Riddle) as _)
    }

    fn allows(&self, _: &Who<'_>, _: Access<'_>, _: &mut dyn FnMut() -> AskAgain) -> Permission {
        Permission::Allowed
    }
}

struct Riddle;

impl Exchange for Riddle {
    fn step(&mut self, data: Option<&[u8]>) -> Step {
        match data {
            None => Step::Continue(b"riddle?".to_vec()),
            Some(b"right") => Step::Accept(Identity::default(), Some(b"welcome".to_vec())),
            Some(_) => Step::Refuse(ReasonCode::NotAuthorized),
        }
    }
}
