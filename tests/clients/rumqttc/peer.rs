//! One client of `rumqttc`, of either version.
//!
//! A task polls the client's event loop and passes on what matters, in words that the two versions share.
//!
//! ```text
//!   Peer ── subscribe, publish ──> Client (v4 or v5) ──> event loop, in its task ──> broker
//!     ^                                                        │
//!     └────────────────────── Event, by a channel ─────────────┘
//! ```

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use ::rumqttc::tokio_rustls::rustls;
use ::rumqttc::{TlsConfiguration, Transport, v5};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::Version;

/// Larger than any packet of the tests: by default rumqttc refuses what is over 10 KiB.
const PACKET_SIZE: u32 = 1024 * 1024;

/// How to connect.
pub struct Settings {
    version: Version,
    name: &'static str,
    address: SocketAddr,
    keep_session: bool,
    will: Option<(&'static str, bool)>,
    tls: Option<TlsConfiguration>,
}

/// A message as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub retain: bool,
}

/// What an event loop tells.
enum Event {
    Connected {
        session_present: bool,
    },
    Subscribed {
        code: String,
    },
    /// The handshake of one outbound PUBLISH of QoS 1 or 2 is over.
    Published,
    Message(Message),
    /// The connection is gone, or never came to be.
    Lost(String),
}

enum Client {
    V4(::rumqttc::AsyncClient),
    V5(v5::AsyncClient),
}

/// A connected client.
pub struct Peer {
    name: &'static str,
    client: Client,
    events: mpsc::UnboundedReceiver<Event>,
    arrived: VecDeque<Message>,
    poll: JoinHandle<()>,
}

impl Settings {
    pub fn new(version: Version, name: &'static str, address: SocketAddr) -> Self {
        Self {
            version,
            name,
            address,
            keep_session: false,
            will: None,
            tls: None,
        }
    }

    /// The session outlives the connection.
    pub fn keep_session(mut self) -> Self {
        self.keep_session = true;
        self
    }

    /// A will at QoS 1 with the payload `gone`.
    pub fn will(mut self, topic: &'static str, retain: bool) -> Self {
        self.will = Some((topic, retain));
        self
    }

    /// TLS, trusting the authority in these PEM bytes only.
    pub fn authority(mut self, pem: &[u8]) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(pem).expect("PEM"))
            .expect("an authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions that the provider has")
            .with_root_certificates(roots)
            .with_no_client_auth();
        self.tls = Some(TlsConfiguration::Rustls(Arc::new(config)));
        self
    }

    fn v4(&self) -> ::rumqttc::MqttOptions {
        let host = self.address.ip().to_string();
        let mut options = ::rumqttc::MqttOptions::new(self.name, host, self.address.port());
        options.set_clean_session(!self.keep_session);
        options.set_max_packet_size(PACKET_SIZE as usize, PACKET_SIZE as usize);
        if let Some((topic, retain)) = self.will {
            let qos = ::rumqttc::QoS::AtLeastOnce;
            options.set_last_will(::rumqttc::LastWill::new(topic, "gone", qos, retain));
        }
        if let Some(tls) = &self.tls {
            options.set_transport(Transport::tls_with_config(tls.clone()));
        }
        options
    }

    fn v5(&self) -> v5::MqttOptions {
        let host = self.address.ip().to_string();
        let mut options = v5::MqttOptions::new(self.name, host, self.address.port());
        options.set_clean_start(!self.keep_session);
        options.set_max_packet_size(Some(PACKET_SIZE));
        if self.keep_session {
            options.set_session_expiry_interval(Some(300));
        }
        if let Some((topic, retain)) = self.will {
            let qos = v5::mqttbytes::QoS::AtLeastOnce;
            let will = v5::mqttbytes::v5::LastWill::new(topic, "gone", qos, retain, None);
            options.set_last_will(will);
        }
        if let Some(tls) = &self.tls {
            options.set_transport(Transport::tls_with_config(tls.clone()));
        }
        options
    }
}

impl Message {
    pub fn new(topic: &str, payload: &[u8], qos: u8, retain: bool) -> Self {
        Self {
            topic: topic.to_owned(),
            payload: payload.to_vec(),
            qos,
            retain,
        }
    }
}

impl Peer {
    /// Connects; `present` is whether the broker must say that it had the session.
    pub async fn connect(settings: Settings, present: bool) -> Self {
        let mut peer = Self::start(&settings);
        let wanted = |event| match event {
            Event::Connected { session_present } => Ok(session_present),
            other => Err(other),
        };
        let session_present = peer.wait("CONNACK", wanted).await;
        assert_eq!(
            session_present, present,
            "Session Present for {}",
            peer.name
        );
        peer
    }

    /// Tries to connect and tells why that failed.
    pub async fn refusal(settings: Settings) -> String {
        match Self::start(&settings).events.recv().await {
            Some(Event::Lost(reason)) => reason,
            _ => panic!("the connection did not fail"),
        }
    }

    fn start(settings: &Settings) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let (client, poll) = match settings.version {
            Version::V5 => {
                let (client, events) = v5::AsyncClient::new(settings.v5(), 16);
                (Client::V5(client), tokio::spawn(poll_v5(events, sender)))
            }
            Version::V31 | Version::V311 => {
                let (client, events) = ::rumqttc::AsyncClient::new(settings.v4(), 16);
                (Client::V4(client), tokio::spawn(poll_v4(events, sender)))
            }
        };
        Self {
            name: settings.name,
            client,
            events,
            arrived: VecDeque::new(),
            poll,
        }
    }

    pub async fn subscribe(&mut self, filter: &str, qos: u8) {
        match &self.client {
            Client::V4(client) => client.subscribe(filter, qos_v4(qos)).await.expect("a loop"),
            Client::V5(client) => client.subscribe(filter, qos_v5(qos)).await.expect("a loop"),
        }
        let wanted = |event| match event {
            Event::Subscribed { code } => Ok(code),
            other => Err(other),
        };
        let code = self.wait("SUBACK", wanted).await;
        assert_eq!(
            code,
            format!("Success({:?})", qos_v4(qos)),
            "SUBACK for {}",
            self.name
        );
    }

    /// Publishes and waits until the handshake of its QoS is over.
    pub async fn publish(&mut self, topic: &str, payload: &[u8], qos: u8, retain: bool) {
        match &self.client {
            Client::V4(client) => {
                let sent = client.publish(topic, qos_v4(qos), retain, payload).await;
                sent.expect("a loop");
            }
            Client::V5(client) => {
                let payload = payload.to_vec();
                let sent = client.publish(topic, qos_v5(qos), retain, payload).await;
                sent.expect("a loop");
            }
        }
        if qos > 0 {
            let wanted = |event| match event {
                Event::Published => Ok(()),
                other => Err(other),
            };
            self.wait("the end of a PUBLISH", wanted).await;
        }
    }

    pub async fn next(&mut self) -> Message {
        if let Some(message) = self.arrived.pop_front() {
            return message;
        }
        let wanted = |event| match event {
            Event::Message(message) => Ok(message),
            other => Err(other),
        };
        self.wait("a message", wanted).await
    }

    pub async fn disconnect(mut self) {
        match &self.client {
            Client::V4(client) => client.disconnect().await.expect("a loop"),
            Client::V5(client) => client.disconnect().await.expect("a loop"),
        }
        let wanted = |event| match event {
            Event::Lost(reason) => Ok(reason),
            other => Err(other),
        };
        self.wait("the end of the connection", wanted).await;
    }

    /// Ends the connection without a DISCONNECT: the socket goes with the task.
    pub fn vanish(self) {
        self.poll.abort();
    }

    /// Waits for an event that is `wanted`; messages that come meanwhile are kept for [`Peer::next`].
    async fn wait<T>(&mut self, what: &str, wanted: impl Fn(Event) -> Result<T, Event>) -> T {
        loop {
            let event = self.events.recv().await;
            let event = event.unwrap_or_else(|| panic!("{}: no loop, and no {what}", self.name));
            match wanted(event) {
                Ok(result) => return result,
                Err(Event::Message(message)) => self.arrived.push_back(message),
                Err(Event::Lost(reason)) => panic!("{}: {reason} instead of {what}", self.name),
                Err(_) => {}
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.poll.abort();
    }
}

async fn poll_v4(mut events: ::rumqttc::EventLoop, sender: mpsc::UnboundedSender<Event>) {
    use ::rumqttc::{Event as Incident, Packet};
    loop {
        let event = match events.poll().await {
            Ok(Incident::Incoming(packet)) => match packet {
                Packet::ConnAck(it) => Event::Connected {
                    session_present: it.session_present,
                },
                Packet::SubAck(it) => Event::Subscribed {
                    code: format!("{:?}", it.return_codes[0]),
                },
                Packet::PubAck(_) | Packet::PubComp(_) => Event::Published,
                Packet::Publish(it) => Event::Message(Message::new(
                    &it.topic,
                    &it.payload,
                    it.qos as u8,
                    it.retain,
                )),
                _ => continue,
            },
            Ok(Incident::Outgoing(_)) => continue,
            Err(error) => return drop(sender.send(Event::Lost(error.to_string()))),
        };
        if sender.send(event).is_err() {
            return;
        }
    }
}

async fn poll_v5(mut events: v5::EventLoop, sender: mpsc::UnboundedSender<Event>) {
    use v5::{Event as Incident, mqttbytes::v5::Packet};
    loop {
        let event = match events.poll().await {
            Ok(Incident::Incoming(packet)) => match packet {
                Packet::ConnAck(it) => Event::Connected {
                    session_present: it.session_present,
                },
                Packet::SubAck(it) => Event::Subscribed {
                    code: format!("{:?}", it.return_codes[0]),
                },
                Packet::PubAck(_) | Packet::PubComp(_) => Event::Published,
                Packet::Publish(it) => {
                    let topic = String::from_utf8_lossy(&it.topic);
                    Event::Message(Message::new(&topic, &it.payload, it.qos as u8, it.retain))
                }
                _ => continue,
            },
            Ok(Incident::Outgoing(_)) => continue,
            Err(error) => return drop(sender.send(Event::Lost(error.to_string()))),
        };
        if sender.send(event).is_err() {
            return;
        }
    }
}

fn qos_v4(qos: u8) -> ::rumqttc::QoS {
    ::rumqttc::qos(qos).expect("0, 1 or 2")
}

fn qos_v5(qos: u8) -> v5::mqttbytes::QoS {
    v5::mqttbytes::qos(qos).expect("0, 1 or 2")
}
