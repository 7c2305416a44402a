//! Conformance: the numbered statements of MQTT 3.1.1 and 5.0, each with a test that would fail.
//!
//! One file per section, one test per statement that can be seen from outside and binds a server (or
//! whose breach by a client must be answered), named by its id: `mqtt5_3_1_2_24_…`, `mqtt311_3_8_4_3_…`.
//! Each starts the real broker and speaks to it in exact bytes over a real socket; no client library and
//! not the broker's own codec stand between. The line `Breaks if:` above a test names a change of the
//! source that it would notice.
//!
//! `differential` holds conversations with Postbud and with mosquitto at once, step by step, and compares their
//! answers: what is right in each packet and wrong in their sequence has nowhere to hide.
//!
//! `statements.tsv` lists every statement with its test, or the reason why it has none;
//! [`statements`] holds the list against the tests.
//!
//! Whether the tests are awake is tried by `mutants.py`: it breaks statements in the source, one at a time
//! (`mutants/*.toml`), and wants to see the tests of just these fail. [`mutants`] keeps its list usable.

mod bytes;
mod mutants;
mod received;
mod statements;
#[path = "../support/mod.rs"]
#[allow(
    dead_code,
    reason = "each test binary uses its part of what they share"
)]
mod support;
mod websocket;

/// Postbud beside mosquitto
mod differential {
    mod answers;
    mod breaches;
    mod connections;
    mod dialect;
    mod differences;
    mod messages;
    mod pair;
    mod permissions;
    mod properties;
    mod random;
    mod sessions;
    mod side;
    mod wills;
}

/// The hard places: legal but unusual, malformed in every way, known to have stopped brokers, and where brokers that
/// people trust are known to fail.
mod hard {
    mod aliases;
    mod either;
    mod exactly_once;
    mod expiry;
    mod filters;
    mod keep_alive;
    mod killers;
    mod legal;
    mod overlap;
    mod packet_size;
    mod properties;
    mod quota;
    mod refused_311;
    mod refused_5;
    mod refused_5_values;
    mod retained;
    mod rows;
    mod session_present;
    mod streams;
    mod takeover;
    mod wills;
}

/// MQTT 3.1.1
mod mqtt311 {
    pub(crate) mod peer;
    mod s1_data;
    mod s2_format;
    mod s3_01_connect;
    mod s3_01_payload;
    mod s3_01_will;
    mod s3_02_connack;
    mod s3_03_publish;
    mod s3_03_retain;
    mod s3_06_pubrel;
    mod s3_08_subscribe;
    mod s3_10_unsubscribe;
    mod s3_14_disconnect;
    mod s4_delivery;
    mod s4_errors;
    mod s4_order;
    mod s4_topics;
    mod s6_websocket;
}

/// MQTT 5.0
mod mqtt5 {
    mod riddle;
    mod s1_data;
    mod s2_format;
    mod s3_01_connect;
    mod s3_01_payload;
    mod s3_01_will;
    mod s3_02_connack;
    mod s3_03_actions;
    mod s3_03_properties;
    mod s3_03_publish;
    mod s3_04_puback;
    mod s3_05_pubrec;
    mod s3_06_pubrel;
    mod s3_07_pubcomp;
    mod s3_08_subscribe;
    mod s3_09_suback;
    mod s3_10_unsubscribe;
    mod s3_11_unsuback;
    mod s3_12_pingreq;
    mod s3_14_disconnect;
    mod s3_15_auth;
    mod s4_01_state;
    mod s4_03_qos1;
    mod s4_03_qos2;
    mod s4_06_ordering;
    mod s4_07_topics;
    mod s4_08_shared;
    mod s4_09_flow_control;
    mod s4_12_authentication;
    mod s4_13_errors;
    mod s6_websocket;
    pub(crate) mod steps;
}
