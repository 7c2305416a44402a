//! End to end: the real broker, real sockets, and clients that others wrote.
//!
//! Every client does the same features, one test for each, so that a failure says who and what:
//! `mqttjs::v311::shared_subscription`.
//!
//! | feature | what the client does, and what must come of it |
//! |---|---|
//! | `qos0`, `qos1`, `qos2` | publishes text, nothing, binary and 70,000 bytes to a wildcard subscriber; all arrive once, in order, at that QoS |
//! | `retained` | sets a state twice; a live subscriber gets both unretained, a later one only the last, retained; cleared by an empty one, nothing is left |
//! | `will` | one client leaves politely, one vanishes; only the second's will is published, and kept for later subscribers |
//! | `persistent_session` | what was published while the subscriber was away arrives, in order, when it is back; a clean start forgets all of it |
//! | `shared_subscription` | two members take 40 jobs: each job once, and nobody is idle |
//! | `tls` | refuses a certificate of an unknown authority; publishes and receives through TLS with the right one |
//!
//! That something does *not* arrive is never concluded from waiting: a marker is published afterwards
//! on the same way, and must be the next thing that arrives.
//!
//! `BROKER_UNDER_TEST=mosquitto` runs the clients against mosquitto, which tells a wrong test from a wrong
//! broker. The rest of the binary is about the process: [`first_start`], [`configuration`], [`lifecycle`],
//! [`observability`], [`store`], [`archive`], [`control`], [`reload`]; about the ways in beside TCP and TLS: [`websocket`],
//! [`browser`], [`unix_sockets`], [`proxies`]; about who gets in: [`credentials`], [`tokens`], [`callback`]; about
//! what they may do: [`permissions`]; and about sockets that behave as clients of a library never do:
//! [`limits`], [`defence`], [`streams`], [`garbage`], [`slow_readers`], [`crowds`].

/// The feature tests of one client in one version of MQTT.
macro_rules! features {
    ($run:path, $version:expr) => {
        #[test]
        fn qos0() {
            $run($version, crate::Feature::Qos0);
        }

        #[test]
        fn qos1() {
            $run($version, crate::Feature::Qos1);
        }

        #[test]
        fn qos2() {
            $run($version, crate::Feature::Qos2);
        }

        #[test]
        fn retained() {
            $run($version, crate::Feature::Retained);
        }

        #[test]
        fn will() {
            $run($version, crate::Feature::Will);
        }

        #[test]
        fn persistent_session() {
            $run($version, crate::Feature::PersistentSession);
        }

        #[test]
        fn shared_subscription() {
            $run($version, crate::Feature::SharedSubscription);
        }

        #[test]
        fn tls() {
            $run($version, crate::Feature::Tls);
        }
    };
}

mod archive;
mod browser;
mod callback;
mod configuration;
mod control;
mod credentials;
mod crowds;
mod defence;
mod entrances;
mod first_start;
mod garbage;
mod lifecycle;
mod limits;
mod mosquitto;
mod observability;
mod permissions;
mod proxies;
mod reload;
mod rumqttc;
mod scripts;
mod slow_readers;
mod store;
mod streams;
#[path = "../support/mod.rs"]
#[allow(
    dead_code,
    reason = "each test binary uses its part of what they share"
)]
mod support;
mod tokens;
mod unix_sockets;
mod websocket;
mod work_queues;

/// What a client is asked to do; see the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feature {
    Qos0,
    Qos1,
    Qos2,
    Retained,
    Will,
    PersistentSession,
    SharedSubscription,
    Tls,
}

/// A version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V31,
    V311,
    V5,
}

mod paho {
    mod v31 {
        features!(crate::scripts::paho, crate::Version::V31);
    }
    mod v311 {
        features!(crate::scripts::paho, crate::Version::V311);
    }
    mod v5 {
        features!(crate::scripts::paho, crate::Version::V5);
    }
}

mod mqttjs {
    mod v31 {
        features!(crate::scripts::mqttjs, crate::Version::V31);
    }
    mod v311 {
        features!(crate::scripts::mqttjs, crate::Version::V311);
    }
    mod v5 {
        features!(crate::scripts::mqttjs, crate::Version::V5);
    }
}

mod mqttjs_in_websocket {
    mod v31 {
        features!(crate::scripts::mqttjs_in_websocket, crate::Version::V31);
    }
    mod v311 {
        features!(crate::scripts::mqttjs_in_websocket, crate::Version::V311);
    }
    mod v5 {
        features!(crate::scripts::mqttjs_in_websocket, crate::Version::V5);
    }
}
