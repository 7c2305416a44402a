"""One feature of MQTT, done by paho-mqtt against a running broker.

    features.py FEATURE --version 3|4|5 --host HOST --port PORT --deadline SECONDS
                [--ca FILE --stranger FILE]

Exits with 0 if the broker did what was expected, else with 1, and says on standard error what was
expected, what came, and which connections had ended. FEATURE is one of the functions at the end;
tests/clients/main.rs describes them, for they are the same with every client.
"""

import argparse
import queue
import ssl
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PAYLOADS = [b"first", b"", b"\x00\xff\xfe binary", b"x" * 70_000] + [b"%d" % n for n in range(16)]
MARKER = b"the marker"


class Failure(Exception):
    """The broker did not do what was expected."""


def expect(what, expected, got):
    if expected != got:
        raise Failure(f"{what}: expected {shown(expected)}, got {shown(got)}")


def shown(value):
    text = repr(value)
    return text if len(text) <= 300 else text[:300] + "…"


class Peer:
    """A client whose events are waited for with the deadline of the whole run."""

    def __init__(self, run, name, clean=True, will=None, ca=None):
        self.run = run
        self.name = name
        self.messages = queue.Queue()
        self.answers = queue.Queue()
        self.clean = clean
        kind = mqtt.CallbackAPIVersion.VERSION2
        # In MQTT 5 Clean Start belongs to each connection, before that to the client.
        session = {} if run.version == mqtt.MQTTv5 else {"clean_session": clean}
        self.client = mqtt.Client(
            kind, name, protocol=run.version, reconnect_on_failure=False, **session
        )
        self.client.on_connect = lambda _c, _u, flags, code, _p: self.answers.put((flags, code))
        self.client.on_subscribe = lambda _c, _u, _id, codes, _p: self.answers.put(codes)
        self.client.on_disconnect = self.disconnected
        self.client.on_message = lambda _c, _u, message: self.messages.put(message)
        if will is not None:
            topic, payload, retain = will
            self.client.will_set(topic, payload, qos=1, retain=retain)
        if ca is not None:
            self.client.tls_set(ca_certs=ca, cert_reqs=ssl.CERT_REQUIRED)

    def disconnected(self, _client, _userdata, _flags, reason, _properties):
        self.run.incidents.append(f"{self.name} was disconnected: {reason}")
        self.answers.put("disconnected")

    def connect(self, present=False):
        """Connects; `present` is whether the broker must say that it had the session."""
        arguments = {}
        if self.run.version == mqtt.MQTTv5:
            arguments["clean_start"] = self.clean
            if not self.clean:
                arguments["properties"] = Properties(PacketTypes.CONNECT)
                arguments["properties"].SessionExpiryInterval = 300
        self.client.connect(self.run.host, self.run.port, keepalive=30, **arguments)
        self.client.loop_start()
        answer = self.run.next(self.answers, "CONNACK")
        if answer == "disconnected":
            raise Failure("closed instead of a CONNACK")
        flags, code = answer
        expect("CONNACK", 0, code.value)
        # MQTT 3.1 has no Session Present flag.
        if self.run.version != mqtt.MQTTv31:
            expect("Session Present", present, flags.session_present)
        return self

    def subscribe(self, topic_filter, qos):
        self.client.subscribe(topic_filter, qos)
        codes = self.run.next(self.answers, "SUBACK")
        expect("SUBACK", [qos], [code.value for code in codes])

    def publish(self, topic, payload, qos=1, retain=False):
        """Publishes and waits until the handshake of its QoS is over."""
        self.client.publish(topic, payload, qos, retain).wait_for_publish(self.run.left("its end"))

    def next(self):
        message = self.run.next(self.messages, "message")
        return message.topic, message.payload, message.qos, message.retain

    def disconnect(self):
        self.client.disconnect()
        expect("after DISCONNECT", "disconnected", self.run.next(self.answers, "disconnection"))
        self.client.loop_stop()

    def vanish(self):
        """Ends the connection without a DISCONNECT."""
        self.client.socket().shutdown(2)
        self.run.next(self.answers, "disconnection")
        self.client.loop_stop()


class Run:
    """What the command line asked for."""

    def __init__(self, arguments):
        self.version = {3: mqtt.MQTTv31, 4: mqtt.MQTTv311, 5: mqtt.MQTTv5}[arguments.version]
        self.host = arguments.host
        self.port = arguments.port
        self.ca = arguments.ca
        self.stranger = arguments.stranger
        self.end = time.monotonic() + arguments.deadline
        # Connections that ended, as wanted or not: printed with a failure.
        self.incidents = []

    def left(self, what):
        left = self.end - time.monotonic()
        if left <= 0:
            raise Failure(f"the deadline passed while waiting for {what}")
        return left

    def next(self, source, what):
        try:
            return source.get(timeout=self.left(what))
        except queue.Empty:
            raise Failure(f"no {what} before the deadline") from None

    def peer(self, name, **options):
        return Peer(self, name, **options).connect()


def transfer(run, qos):
    subscriber = run.peer("subscriber")
    subscriber.subscribe("greenhouse/+/climate", qos)
    publisher = run.peer("publisher")
    for payload in PAYLOADS:
        publisher.publish("greenhouse/3/climate", payload, qos)
    for payload in PAYLOADS:
        expected = ("greenhouse/3/climate", payload, qos, False)
        expect("delivery", expected, subscriber.next())
    publisher.publish("greenhouse/3/climate", MARKER, qos)
    expect("after the last", MARKER, subscriber.next()[1])


def retained(run):
    live = run.peer("live")
    live.subscribe("doors/#", 1)
    publisher = run.peer("publisher")
    for state in [b"open", b"shut"]:
        publisher.publish("doors/front", state, retain=True)
        expect("live", ("doors/front", state, 1, False), live.next())
    later = run.peer("later")
    later.subscribe("doors/#", 1)
    expect("for the later one", ("doors/front", b"shut", 1, True), later.next())
    publisher.publish("doors/front", b"", retain=True)
    expect("live", ("doors/front", b"", 1, False), live.next())
    latest = run.peer("latest")
    latest.subscribe("doors/#", 1)
    publisher.publish("doors/back", MARKER)
    expect("once cleared", ("doors/back", MARKER, 1, False), latest.next())


def will(run):
    watcher = run.peer("watcher")
    watcher.subscribe("status/#", 1)
    polite = run.peer("polite", will=("status/polite", "gone", False))
    polite.disconnect()
    lost = run.peer("lost", will=("status/lost", "gone", True))
    lost.vanish()
    # Also the proof that the polite one's will was not published.
    expect("will", ("status/lost", b"gone", 1, False), watcher.next())
    later = run.peer("later")
    later.subscribe("status/#", 1)
    expect("retained will", ("status/lost", b"gone", 1, True), later.next())


def persistent_session(run):
    Peer(run, "sleeper", clean=True).connect().disconnect()
    sleeper = Peer(run, "sleeper", clean=False).connect(present=False)
    sleeper.subscribe("letters/#", 2)
    sleeper.disconnect()
    publisher = run.peer("publisher")
    expected = []
    for number in range(20):
        qos = 1 + number // 10  # order holds among messages of one QoS
        publisher.publish(f"letters/{number}", b"%d" % number, qos)
        expected.append((f"letters/{number}", b"%d" % number, qos, False))
    sleeper = Peer(run, "sleeper", clean=False).connect(present=True)
    for message in expected:
        expect("kept for the sleeper", message, sleeper.next())
    publisher.publish("letters/last", MARKER, 2)
    expect("after the kept ones", MARKER, sleeper.next()[1])
    sleeper.disconnect()
    Peer(run, "sleeper", clean=True).connect(present=False).disconnect()
    Peer(run, "sleeper", clean=False).connect(present=False)


def shared_subscription(run):
    members = [run.peer("member-1"), run.peer("member-2")]
    for member in members:
        member.subscribe("$share/workers/jobs/#", 1)
    publisher = run.peer("publisher")
    jobs = [b"%d" % number for number in range(40)]
    for job in jobs:
        publisher.publish("jobs/new", job)
    taken = [[], []]
    while sum(map(len, taken)) < len(jobs):
        run.left(f"{len(jobs)} jobs, of which {taken} came")
        for member, own in zip(members, taken):
            try:
                own.append(member.messages.get(timeout=0.05).payload)
            except queue.Empty:
                pass
    expect("all jobs, each once", sorted(jobs), sorted(taken[0] + taken[1]))
    expect("members that worked", [True, True], [bool(own) for own in taken])


def tls(run):
    try:
        Peer(run, "deceived", ca=run.stranger).connect()
    except ssl.SSLCertVerificationError:
        pass
    else:
        raise Failure("a certificate of an unknown authority was accepted")
    peer = run.peer("guarded", ca=run.ca)
    peer.subscribe("safe/#", 1)
    peer.publish("safe/box", PAYLOADS[3])
    expect("through TLS", ("safe/box", PAYLOADS[3], 1, False), peer.next())


FEATURES = {
    "qos0": lambda run: transfer(run, 0),
    "qos1": lambda run: transfer(run, 1),
    "qos2": lambda run: transfer(run, 2),
    "retained": retained,
    "will": will,
    "persistent_session": persistent_session,
    "shared_subscription": shared_subscription,
    "tls": tls,
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("feature", choices=FEATURES)
    parser.add_argument("--version", type=int, choices=[3, 4, 5], required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--deadline", type=float, required=True)
    parser.add_argument("--ca")
    parser.add_argument("--stranger")
    arguments = parser.parse_args()
    run = Run(arguments)
    try:
        FEATURES[arguments.feature](run)
    except (Failure, OSError, ValueError, RuntimeError) as failure:
        print(f"paho {arguments.feature}: {type(failure).__name__}: {failure}", file=sys.stderr)
        for incident in run.incidents:
            print(f"  {incident}", file=sys.stderr)
        sys.exit(1)


main()
