//! A client: what it sends, and what it has received.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use postbud::broker::Ending;
use postbud::codec::{
    Ack, Auth, Connect, Disconnect, FiltersBuf, Packet, PacketId, Publish, QoS, ReasonCode,
    Subscribe, SubscriptionOptions, Unsubscribe, UnsubscribeFiltersBuf, Version, Will, encode,
};

use crate::house::{House, Peer};
use crate::received::{Delivered, Got, Welcome};

/// A CONNECT that is being filled in.
pub struct Hello<'a> {
    house: &'a House,
    pub connect: Connect<'a>,
    direct: bool,
}

impl<'a> Hello<'a> {
    pub fn new(house: &'a House, connect: Connect<'a>) -> Self {
        Self {
            house,
            connect,
            direct: true,
        }
    }

    /// Asks for the session that is there.
    pub fn resume(mut self) -> Self {
        self.connect.clean_start = false;
        self
    }

    /// Session Expiry Interval in seconds; resumes if there is something to resume.
    pub fn expiry(mut self, seconds: u32) -> Self {
        self.connect.properties.session_expiry = Some(seconds);
        self.resume()
    }

    pub fn clean(mut self) -> Self {
        self.connect.clean_start = true;
        self
    }

    pub fn keep_alive(mut self, seconds: u16) -> Self {
        self.connect.keep_alive = seconds;
        self
    }

    pub fn receive_maximum(mut self, count: u16) -> Self {
        self.connect.properties.receive_maximum = NonZeroU16::new(count);
        self
    }

    pub fn packet_size_maximum(mut self, bytes: u32) -> Self {
        self.connect.properties.maximum_packet_size = NonZeroU32::new(bytes);
        self
    }

    /// With this User Name.
    pub fn user(mut self, name: &'a str) -> Self {
        self.connect.user_name = Some(name);
        self
    }

    /// Takes so many Topic Aliases.
    pub fn topic_alias_maximum(mut self, count: u16) -> Self {
        self.connect.properties.topic_alias_maximum = count;
        self
    }

    /// A Will at QoS 0.
    pub fn will(mut self, topic: &'a str, payload: &'a str) -> Self {
        self.connect.will = Some(Will {
            qos: QoS::AtMostOnce,
            retain: false,
            topic,
            payload: payload.as_bytes(),
            properties: Default::default(),
        });
        self
    }

    /// Changes the Will.
    pub fn will_with(mut self, change: impl FnOnce(&mut Will<'a>)) -> Self {
        change(self.connect.will.as_mut().expect("a Will to change"));
        self
    }

    pub fn will_delay(self, seconds: u32) -> Self {
        self.will_with(|will| will.properties.delay = seconds)
    }

    /// Over a transport that only its own task writes to.
    pub fn indirect(mut self) -> Self {
        self.direct = false;
        self
    }

    pub fn method(mut self, method: &'a str, data: Option<&'a [u8]>) -> Self {
        self.connect.properties.authentication_method = Some(method);
        self.connect.properties.authentication_data = data;
        self
    }

    /// Accepts the connection and sends the CONNECT.
    pub fn send(self) -> Client<'a> {
        let client = self.house.accept(self.connect.version, self.direct);
        client.connect(&self.connect);
        client
    }

    /// Sends the CONNECT, which must be accepted.
    #[track_caller]
    pub fn open(self) -> Client<'a> {
        self.open_present().0
    }

    /// Sends the CONNECT, which must be accepted; tells whether a session was present.
    #[track_caller]
    pub fn open_present(self) -> (Client<'a>, bool) {
        let client = self.send();
        let welcome = client.welcome();
        assert_eq!(welcome.code, ReasonCode::Success);
        (client, welcome.present)
    }
}

/// A handle to one connection of a house.
#[derive(Clone, Copy)]
pub struct Client<'h> {
    pub house: &'h House,
    index: usize,
}

impl<'h> Client<'h> {
    pub fn new(house: &'h House, index: usize) -> Self {
        Self { house, index }
    }

    fn peer<R>(&self, look: impl FnOnce(&mut Peer) -> R) -> R {
        self.house.with_peer(self.index, |peer, _| look(peer))
    }

    pub fn version(&self) -> Version {
        self.peer(|peer| peer.book.version)
    }

    pub fn connect(&self, connect: &Connect<'_>) {
        // Before MQTT 5 there is no way to ask for these.
        if connect.version == Version::V5 {
            let properties = connect.properties;
            self.peer(|peer| {
                if let Some(maximum) = properties.maximum_packet_size {
                    peer.book.packet_size_maximum = maximum.get() as usize;
                }
                if let Some(maximum) = properties.receive_maximum {
                    peer.book.receive_maximum = usize::from(maximum.get());
                }
            });
        }
        self.send(&Packet::Connect(*connect));
    }

    /// Sends a packet, and lets everything happen that follows from it.
    pub fn send(&self, packet: &Packet<'_>) {
        self.feed(packet);
        self.house.run();
    }

    /// Sends a packet that nobody looks at until the house runs.
    pub fn feed(&self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        encode(packet, self.version(), &mut bytes).expect("a packet that has a form");
        self.peer(|peer| peer.book.acknowledged(packet));
        self.feed_bytes(&bytes);
    }

    pub fn send_bytes(&self, bytes: &[u8]) {
        self.feed_bytes(bytes);
        self.house.run();
    }

    pub fn feed_bytes(&self, bytes: &[u8]) {
        self.peer(|peer| peer.feed(bytes));
    }

    /// One step of its driver.
    pub fn step(&self) {
        self.house.step(self.index);
    }

    /// Its driver handles input without having seen what it was told meanwhile.
    pub fn step_blindly(&self) {
        self.house.with_peer(self.index, Peer::handle);
    }

    /// Whoever waits for it to handle what has reached it waits no longer.
    pub fn hear_no_more(&self) {
        self.peer(|peer| peer.hear_no_more());
    }

    pub fn publish(&self, topic: &str, payload: &str) {
        self.send(&Packet::Publish(publish(
            QoS::AtMostOnce,
            0,
            topic,
            payload,
        )));
    }

    pub fn publish1(&self, id: u16, topic: &str, payload: &str) {
        self.send(&Packet::Publish(publish(
            QoS::AtLeastOnce,
            id,
            topic,
            payload,
        )));
    }

    pub fn publish2(&self, id: u16, topic: &str, payload: &str) {
        self.send(&Packet::Publish(publish(
            QoS::ExactlyOnce,
            id,
            topic,
            payload,
        )));
    }

    /// Publishes a retained message at QoS 0.
    pub fn retain(&self, topic: &str, payload: &str) {
        let mut publish = publish(QoS::AtMostOnce, 0, topic, payload);
        publish.retain = true;
        self.send(&Packet::Publish(publish));
    }

    /// Subscribes to one filter and takes the SUBACK, which must grant it.
    #[track_caller]
    pub fn subscribe(&self, filter: &str, qos: QoS) {
        self.subscribe_with(filter, SubscriptionOptions::v3(qos), None);
    }

    /// As [`Self::subscribe`], with options and a Subscription Identifier.
    #[track_caller]
    pub fn subscribe_with(&self, filter: &str, options: SubscriptionOptions, id: Option<u32>) {
        self.send_subscribe(77, &[(filter, options)], id);
        let suback = Got::Suback(77, vec![options.qos as u8]);
        assert_eq!(self.next(), Some(suback), "{filter}");
    }

    pub fn send_subscribe(
        &self,
        packet_id: u16,
        filters: &[(&str, SubscriptionOptions)],
        subscription_id: Option<u32>,
    ) {
        let mut list = FiltersBuf::new();
        for (filter, options) in filters {
            list.push(filter, *options).expect("a filter");
        }
        self.send(&Packet::Subscribe(Subscribe {
            packet_id: packet_id_of(packet_id),
            subscription_id,
            user_properties: Default::default(),
            filters: list.as_ref(),
        }));
    }

    /// Unsubscribes from one filter that is subscribed to, and takes the UNSUBACK.
    #[track_caller]
    pub fn unsubscribe(&self, filter: &str) {
        self.send_unsubscribe(78, &[filter]);
        let codes = if self.version() == Version::V5 {
            vec![0]
        } else {
            vec![]
        };
        assert_eq!(self.next(), Some(Got::Unsuback(78, codes)), "{filter}");
    }

    pub fn send_unsubscribe(&self, packet_id: u16, filters: &[&str]) {
        let mut list = UnsubscribeFiltersBuf::new();
        for filter in filters {
            list.push(filter).expect("a filter");
        }
        self.send(&Packet::Unsubscribe(Unsubscribe {
            packet_id: packet_id_of(packet_id),
            user_properties: Default::default(),
            filters: list.as_ref(),
        }));
    }

    pub fn puback(&self, id: u16) {
        self.send(&Packet::Puback(ack(id, ReasonCode::Success)));
    }

    pub fn pubrec(&self, id: u16) {
        self.send(&Packet::Pubrec(ack(id, ReasonCode::Success)));
    }

    pub fn pubrel(&self, id: u16) {
        self.send(&Packet::Pubrel(ack(id, ReasonCode::Success)));
    }

    pub fn pubcomp(&self, id: u16) {
        self.send(&Packet::Pubcomp(ack(id, ReasonCode::Success)));
    }

    /// An AUTH (MQTT 5).
    pub fn auth(&self, code: ReasonCode, method: Option<&str>, data: Option<&[u8]>) {
        self.send(&Packet::Auth(Auth {
            code,
            method,
            data,
            reason_string: None,
            user_properties: Default::default(),
        }));
    }

    /// Says DISCONNECT and closes.
    pub fn disconnect(&self) {
        self.disconnect_with(ReasonCode::Success, None);
    }

    pub fn disconnect_with(&self, code: ReasonCode, session_expiry: Option<u32>) {
        let mut disconnect = Disconnect::new(code);
        disconnect.session_expiry = session_expiry;
        self.send(&Packet::Disconnect(disconnect));
    }

    /// The connection breaks without a word.
    pub fn hang_up(&self) {
        self.house
            .with_peer(self.index, |peer, batch| peer.lose(Ending::Eof, batch));
        self.house.run();
    }

    /// Whatever is written to it fails from now on, which nobody knows yet.
    pub fn break_down(&self) {
        self.peer(|peer| peer.pipe.break_down());
    }

    /// How many bytes its socket takes from now on; `None` takes everything.
    pub fn set_room(&self, room: Option<usize>) {
        self.set_room_unseen(room);
        self.house.run();
    }

    /// As [`Self::set_room`], and nobody looks yet.
    pub fn set_room_unseen(&self, room: Option<usize>) {
        self.peer(|peer| peer.pipe.set_room(room));
    }

    /// Everything it has received and not taken yet.
    pub fn take(&self) -> Vec<Got> {
        self.peer(|peer| {
            let bytes = peer.pipe.take_written();
            peer.book.read(&bytes);
            peer.book.take()
        })
    }

    /// The first packet that it has received and not taken yet.
    pub fn next(&self) -> Option<Got> {
        self.peer(|peer| {
            let bytes = peer.pipe.take_written();
            peer.book.read(&bytes);
            peer.book.next()
        })
    }

    /// The CONNACK, which must be next.
    #[track_caller]
    pub fn welcome(&self) -> Welcome {
        match self.next() {
            Some(Got::Connack(welcome)) => welcome,
            other => panic!("{other:?} in place of CONNACK"),
        }
    }

    /// Everything it has received, which must be messages.
    #[track_caller]
    pub fn messages(&self) -> Vec<Delivered> {
        let message = |got| match got {
            Got::Publish(message) => message,
            other => panic!("{other:?} among the messages"),
        };
        self.take().into_iter().map(message).collect()
    }

    /// Payloads of everything it has received, which must be messages.
    #[track_caller]
    pub fn payloads(&self) -> Vec<String> {
        self.messages()
            .into_iter()
            .map(|message| message.payload)
            .collect()
    }

    /// Reads and acknowledges to the end of every exchange until nothing comes any more; returns
    /// the payloads in their order.
    #[track_caller]
    pub fn drain(&self) -> Vec<String> {
        let mut payloads = Vec::new();
        loop {
            let got = self.take();
            if got.is_empty() {
                return payloads;
            }
            for packet in got {
                match packet {
                    Got::Publish(message) => {
                        payloads.push(message.payload);
                        match message.qos {
                            QoS::AtMostOnce => {}
                            QoS::AtLeastOnce => self.puback(message.id),
                            QoS::ExactlyOnce => self.pubrec(message.id),
                        }
                    }
                    Got::Pubrel(id, _) => self.pubcomp(id),
                    other => panic!("{other:?} among the messages"),
                }
            }
        }
    }

    /// Why its connection is closed, if it is.
    pub fn ending(&self) -> Option<Ending> {
        self.peer(|peer| peer.ending())
    }

    /// Whether the broker reads nothing from it for now.
    pub fn is_paused(&self) -> bool {
        self.peer(|peer| peer.is_paused())
    }

    /// Whether the broker has input of it to go on with.
    pub fn is_busy(&self) -> bool {
        self.peer(|peer| peer.is_busy())
    }

    /// How long from now it may still be silent.
    pub fn patience(&self) -> Option<Duration> {
        let now = self.house.now().instant;
        self.peer(|peer| peer.deadline())
            .map(|deadline| deadline.saturating_duration_since(now))
    }

    /// It must have been closed for this reason: told in MQTT 5, in silence before.
    #[track_caller]
    pub fn assert_closed(&self, code: ReasonCode) {
        let said = match self.version() {
            Version::V5 => vec![Got::Disconnect(code)],
            Version::V31 | Version::V311 => vec![],
        };
        assert_eq!(self.take(), said);
        assert_eq!(self.ending(), Some(Ending::Closed(code)));
    }
}

/// A PUBLISH; an id of 0 is none.
pub fn publish<'a>(qos: QoS, id: u16, topic: &'a str, payload: &'a str) -> Publish<'a> {
    Publish {
        qos,
        topic,
        packet_id: PacketId::new(id),
        payload: payload.as_bytes(),
        ..Publish::default()
    }
}

pub fn ack(id: u16, code: ReasonCode) -> Ack<'static> {
    Ack::new(packet_id_of(id), code)
}

fn packet_id_of(id: u16) -> PacketId {
    PacketId::new(id).expect("not 0")
}

/// The numbers from `first` to `last` as payloads.
pub fn numbers(first: usize, last: usize) -> Vec<String> {
    (first..=last).map(|number| number.to_string()).collect()
}
