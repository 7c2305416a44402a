//! The two brokers in step: each is sent the same, and must answer the same before the next step.
//!
//! ```text
//!                       ┌──> mosquitto ──> lines ─┐
//!   step: bytes of "sub"┤                         ├ the same, or the test ends with all that happened
//!                       └──> Postbud  ───> lines ─┘
//! ```
//!
//! After each step every client sends PINGREQ and reads to PINGRESP, so all that the step has caused is there. Where
//! something takes its own time (a connection that breaks), this is repeated until both have answered the same, for
//! at most [`PATIENCE`]. What comes too much shows in the next step.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::side::Side;
use crate::bytes::{Connect, DISCONNECT};
use crate::support::broker::Broker;

/// How long two brokers may differ because one is slower.
const PATIENCE: Duration = Duration::from_secs(4);

type Lines = BTreeMap<String, Vec<String>>;

/// Where mosquitto is known to break a statement.
pub struct Difference {
    /// The id of the statement that mosquitto breaks.
    pub breaks: &'static str,
    /// The client that sees it; all others have to see the same.
    pub client: String,
    pub mosquitto: &'static [&'static str],
    pub postbud: &'static [&'static str],
}

/// Both brokers.
pub struct Pair {
    mosquitto: Side,
    postbud: Side,
    difference: Option<Difference>,
    /// What both answered in the last step.
    agreed: Lines,
    /// Messages in all that both agreed on.
    messages: usize,
    history: String,
}

impl Pair {
    #[track_caller]
    pub fn start() -> Self {
        // Or it gives a client of 3.1.1 one copy at the QoS of the first subscription that matches: see
        // `differences`.
        Self::beside("allow_duplicate_messages true")
    }

    /// Beside a mosquitto with this in its configuration.
    #[track_caller]
    pub fn beside(configuration: &str) -> Self {
        Self::of(Broker::mosquitto(configuration), Broker::start())
    }

    /// Both with the same file of permissions and the same password file, as mosquitto has them.
    #[track_caller]
    pub fn guarded(permissions: &Path, users: &Path) -> Self {
        let (file, passwords) = (permissions.display(), users.display());
        let theirs =
            format!("allow_duplicate_messages true\nacl_file {file}\npassword_file {passwords}");
        let ours = format!(
            "[auth]\nanonymous = true\npassword.file = {users:?}\n[limits]\nconnect_timeout = \"1h\"\n\
             [acl]\nmosquitto_file = {permissions:?}\n"
        );
        Self::of(Broker::mosquitto(&theirs), Broker::configured(&ours))
    }

    fn of(mosquitto: Broker, postbud: Broker) -> Self {
        Self {
            mosquitto: Side::new(mosquitto),
            postbud: Side::new(postbud),
            difference: None,
            agreed: Lines::new(),
            messages: 0,
            history: String::new(),
        }
    }

    /// A new connection that sends a CONNECT.
    #[track_caller]
    pub fn open(&mut self, client: &str, connect: &Connect) {
        self.open_with(client, &connect.bytes());
    }

    /// A new connection that sends these bytes first.
    #[track_caller]
    pub fn open_with(&mut self, client: &str, first: &[u8]) {
        self.step(format!("{client} opens with {first:02x?}"), |side| {
            side.open(client, first);
        });
    }

    /// As [`Pair::open`], with a CONNECT that takes the session of this name's connection, which has to be closed: in
    /// MQTT 5.0 with DISCONNECT 0x8E, which mosquitto 2.0.11 does not send [MQTT5-3.1.4-3].
    #[track_caller]
    pub fn take_over(&mut self, client: &str, connect: &Connect) {
        if self.mosquitto.is_of_5(client) {
            self.expect_difference(Difference {
                breaks: "MQTT5-3.1.4-3",
                client: format!("{client}'"),
                mosquitto: &["closed"],
                postbud: &["closed: taken over"],
            });
        }
        self.step(format!("{client} takes over"), |side| {
            side.open(client, &connect.bytes());
            side.read_to_end(&format!("{client}'"));
        });
    }

    #[track_caller]
    pub fn send(&mut self, client: &str, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.step(format!("{client} sends {}", shown(bytes)), |side| {
            side.send(client, bytes);
        });
    }

    /// Sends these bytes; both brokers have to close the connection.
    #[track_caller]
    pub fn breach(&mut self, client: &str, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.step(
            format!("{client} breaks a rule: {}", shown(bytes)),
            |side| {
                side.send_to_end(client, bytes);
            },
        );
    }

    /// Acknowledges all that was received and not acknowledged, one step of each handshake.
    #[track_caller]
    pub fn answer(&mut self, client: &str) {
        self.answer_some(client, usize::MAX);
    }

    /// As [`Pair::answer`], the oldest so many.
    #[track_caller]
    pub fn answer_some(&mut self, client: &str, count: usize) {
        self.step(format!("{client} answers {count}"), |side| {
            side.answer(client, count);
        });
    }

    /// Answers the oldest message with a PUBREC of this reason.
    #[track_caller]
    pub fn refuse(&mut self, client: &str, reason: u8) {
        self.step(format!("{client} refuses with {reason:#04x}"), |side| {
            side.refuse(client, reason);
        });
    }

    /// Closes the connection without a word; its Will, which `watch` gets, tells that the broker has noticed.
    #[track_caller]
    pub fn cut(&mut self, client: &str, watch: &str) {
        self.step(format!("{client} is cut"), |side| {
            side.cut(client);
            side.wait(watch);
        });
    }

    /// Says DISCONNECT.
    #[track_caller]
    pub fn leave(&mut self, client: &str) {
        self.breach(client, DISCONNECT);
    }

    /// Waits for one packet or the end of the connection, which takes as long as it takes.
    #[track_caller]
    pub fn wait(&mut self, client: &str) {
        self.step(format!("{client} waits"), |side| side.wait(client));
    }

    /// So many lines came for this client in the last step.
    #[track_caller]
    pub fn came(&self, client: &str, count: usize) {
        let lines = self.agreed.get(client).map_or(&[][..], Vec::as_slice);
        let history = &self.history;
        assert_eq!(lines.len(), count, "for {client}: {lines:#?}\n{history}");
    }

    /// How many lines came for this client in the last step.
    pub fn count(&self, client: &str) -> usize {
        self.agreed.get(client).map_or(0, Vec::len)
    }

    /// Exactly these lines came for this client in the last step.
    #[track_caller]
    pub fn saw(&self, client: &str, expected: &[&str]) {
        let lines = self.agreed.get(client).map_or(&[][..], Vec::as_slice);
        assert!(
            lines == expected,
            "for {client}: {lines:#?}\n{}",
            self.history
        );
    }

    /// How many messages both have delivered since the start.
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// In the next step mosquitto is wrong in this way.
    pub fn expect_difference(&mut self, difference: Difference) {
        assert!(difference.mosquitto != difference.postbud, "no difference");
        self.difference = Some(difference);
    }

    /// Whether this client has an open connection, to both.
    pub fn is_open(&self, client: &str) -> bool {
        self.postbud.is_open(client)
    }

    /// Whether this client has anything to acknowledge, to either.
    pub fn owes(&self, client: &str) -> bool {
        self.mosquitto.owes(client) || self.postbud.owes(client)
    }

    /// Ends a conversation: all clients leave, and nothing of it is known for the next.
    pub fn next_conversation(&mut self) {
        self.mosquitto.leave_all();
        self.postbud.leave_all();
        self.history.clear();
    }

    /// Several actions whose answers are compared together: a message of QoS 2 may go on with its PUBLISH or with its
    /// PUBREL, as the server chooses.
    #[track_caller]
    pub fn together(&mut self, what: &str, act: impl Fn(&mut Side)) {
        self.step(what.to_owned(), act);
    }

    #[track_caller]
    fn step(&mut self, what: String, act: impl Fn(&mut Side)) {
        let _ = writeln!(self.history, "- {what}");
        act(&mut self.mosquitto);
        act(&mut self.postbud);
        let difference = self.difference.take();
        let end = Instant::now() + PATIENCE;
        loop {
            self.mosquitto.settle();
            self.postbud.settle();
            let (theirs, ours) = (self.mosquitto.lines(), self.postbud.lines());
            if agree(&theirs, &ours, difference.as_ref()) {
                self.agreed = ours;
                break;
            }
            let breaks = difference.as_ref().map(|it| it.breaks);
            assert!(
                Instant::now() < end,
                "mosquitto: {theirs:#?}\nPostbud: {ours:#?}\nafter\n{}known: {breaks:?}",
                self.history
            );
            // Neither tells when it has nothing more to say.
            thread::sleep(Duration::from_millis(2));
        }
        for (client, lines) in &self.agreed {
            for line in lines {
                self.messages += usize::from(line.starts_with("PUBLISH"));
                let _ = writeln!(self.history, "    {client}: {line}");
            }
        }
        self.mosquitto.next_step();
        self.postbud.next_step();
    }
}

fn agree(theirs: &Lines, ours: &Lines, difference: Option<&Difference>) -> bool {
    let Some(known) = difference else {
        return theirs == ours;
    };
    let (mut theirs, mut ours) = (theirs.clone(), ours.clone());
    let of_theirs = theirs.remove(&known.client).unwrap_or_default();
    let of_ours = ours.remove(&known.client).unwrap_or_default();
    theirs == ours && of_theirs == known.mosquitto && of_ours == known.postbud
}

fn shown(bytes: &[u8]) -> String {
    if bytes.len() > 400 {
        return format!("{:02x?}… of {} bytes", &bytes[..64], bytes.len());
    }
    format!("{bytes:02x?} {:?}", String::from_utf8_lossy(bytes))
}
