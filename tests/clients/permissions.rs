//! Permissions as an operator writes them down, with mosquitto's clients.

use std::process::Command;

use crate::support::broker::Broker;
use crate::support::folder::Folder;
use crate::support::process::{Finished, Process};

/// A client program of MQTT 5 that says what it is told. Who has a user name has the password "secret".
fn client(broker: &Broker, program: &str, id: &str, user: &str, arguments: &[&str]) -> Process {
    // Without a terminal the C library would hold back what they print.
    let mut command = Command::new("stdbuf");
    command.args([
        "-oL",
        "-eL",
        program,
        "-V",
        "mqttv5",
        "-h",
        "127.0.0.1",
        "-d",
        "-i",
        id,
    ]);
    command.args(["-p", &broker.tcp.port().to_string()]);
    if !user.is_empty() {
        command.args(["-u", user, "-P", "secret"]);
    }
    command.args(arguments);
    Process::start(command)
}

/// The Reason Code that a publication at QoS 1 is answered with.
#[track_caller]
fn published(broker: &Broker, (id, user): (&str, &str), topic: &str, more: &[&str]) -> u8 {
    let arguments = [&["-q", "1", "-m", topic, "-t", topic], more].concat();
    let publisher = client(broker, "mosquitto_pub", id, user, &arguments);
    let Finished { stdout: output, .. } = publisher.finish();
    let code = output.iter().find_map(|line| line.split_once("RC:"));
    let (_, code) = code.unwrap_or_else(|| panic!("no PUBACK in {output:#?}"));
    code.trim_end_matches(')').parse().expect("a Reason Code")
}

/// A subscriber to this filter, which has been granted it.
#[track_caller]
fn subscriber(broker: &Broker, (id, user): (&str, &str), filter: &str) -> Process {
    let arguments = ["-t", filter, "-F", "message %t"];
    let subscriber = client(broker, "mosquitto_sub", id, user, &arguments);
    subscriber.wait_for("the subscription", |line| line == "Subscribed (mid: 1): 0");
    subscriber
}

/// Whether a subscription to this filter is refused as not authorized.
#[track_caller]
fn is_refused(broker: &Broker, (id, user): (&str, &str), filter: &str) -> bool {
    let subscriber = client(broker, "mosquitto_sub", id, user, &["-t", filter, "-E"]);
    let Finished { stdout: output, .. } = subscriber.finish();
    let granted = output
        .iter()
        .find_map(|line| line.strip_prefix("Subscribed (mid: 1): "));
    match granted {
        Some("135") => true,
        Some("0") => false,
        _ => panic!("no SUBACK in {output:#?}"),
    }
}

const NOT_AUTHORIZED: u8 = 0x87;
const NO_SUBSCRIBERS: u8 = 0x10;

// Breaks if: mosquitto's files do not work as they are, or what may not be read is delivered for a wildcard.
#[test]
fn files_of_mosquitto_are_used_unchanged() {
    let folder = Folder::new();
    let users = folder.write("users", "roger:secret\nanna:secret\n");
    let hashed = Command::new("mosquitto_passwd")
        .arg("-U")
        .arg(&users)
        .status();
    assert!(hashed.expect("mosquitto_passwd runs").success());
    let permissions = folder.write(
        "acl",
        "# This affects access control for clients with no username.\ntopic read $SYS/#\ntopic read news/#\n\n\
         # This only affects clients with username \"roger\".\nuser roger\ntopic foo/bar\ntopic news/#\n\
         topic deny news/secret\n\n\
         # This affects all clients.\npattern write own/%u/%c\npattern read own/+/+\n",
    );
    let broker = Broker::configured(&format!(
        "[auth]\nanonymous = true\npassword.file = {users:?}\n[acl]\nmosquitto_file = {permissions:?}\n"
    ));
    let everything = subscriber(&broker, ("s", ""), "#");
    let foo = subscriber(&broker, ("t", "roger"), "$share/g/foo/#");
    let (nobody, roger, anna) = (("p", ""), ("p", "roger"), ("p", "anna"));
    for (who, topic, code) in [
        (roger, "foo/bar", 0),
        (roger, "news/1", 0),
        (roger, "news/secret", NOT_AUTHORIZED),
        (roger, "own/roger/p", 0),
        (roger, "own/anna/p", NOT_AUTHORIZED),
        (anna, "foo/bar", NOT_AUTHORIZED),
        (anna, "own/anna/p", 0),
        (nobody, "news/2", NOT_AUTHORIZED),
        (nobody, "own//p", NOT_AUTHORIZED),
        (("p/x", "anna"), "own/anna/p/x", NOT_AUTHORIZED),
        (("+", "anna"), "own/anna/p", NOT_AUTHORIZED),
        (roger, "news/last", 0),
    ] {
        assert_eq!(
            published(&broker, who, topic, &["-r"]),
            code,
            "{who:?} {topic}"
        );
    }
    let seen = ["news/1", "own/roger/p", "own/anna/p", "news/last"];
    assert_eq!(everything.wait_for_lines(4, "message "), seen);
    assert_eq!(foo.wait_for_lines(1, "message "), ["foo/bar"]);
    // What is retained is read by nobody else either.
    let late = subscriber(&broker, ("late", ""), "#");
    let mut kept = late.wait_for_lines(4, "message ");
    kept.sort();
    let mut seen = seen.to_vec();
    seen.sort();
    assert_eq!(kept, seen);
}

// Breaks if: rules of the configuration or of their file are not in force, or not in their order.
#[test]
fn rules_are_in_force() {
    let folder = Folder::new();
    let file = folder.write(
        "rules.toml",
        "[[acl.rules]]\nallow = [\"publish\", \"subscribe\"]\ntopics = [\"devices/%c/#\"]\nclient = \"device-*\"\n\n\
         [[acl.rules]]\nallow = \"subscribe\"\ntopics = [\"devices/#\"]\naddress = [\"127.0.0.0/8\"]\n\n\
         [[acl.rules]]\nallow = \"publish\"\ntopics = \"devices/#\"\naddress = \"10.0.0.0/8\"\n",
    );
    let broker = Broker::configured(&format!(
        "[auth]\nanonymous = true\n[acl]\nfile = {file:?}\n\
         [[acl.rules]]\ndeny = \"publish\"\ntopics = \"devices/+/state\"\nretain = true\n\
         [[acl.rules]]\ndeny = [\"publish\", \"subscribe\"]\ntopics = \"devices/+/firmware/#\"\n"
    ));
    let (device, other) = (("device-1", ""), ("operator", ""));
    for (who, topic, more, code) in [
        (device, "devices/device-1/state", &[][..], NO_SUBSCRIBERS),
        (device, "devices/device-1/state", &["-r"], NOT_AUTHORIZED),
        (device, "devices/device-1/firmware", &[], NOT_AUTHORIZED),
        (device, "devices/device-2/state", &[], NOT_AUTHORIZED),
        (
            device,
            "$delayed/9/devices/device-2/state",
            &[],
            NOT_AUTHORIZED,
        ),
        (device, "$delayed/9/devices/device-1/state", &[], 0),
        (other, "devices/device-1/state", &[], NOT_AUTHORIZED),
    ] {
        assert_eq!(
            published(&broker, who, topic, more),
            code,
            "{who:?} {topic}"
        );
    }
    for (who, filter, refused) in [
        (device, "devices/device-1/state", false),
        (device, "devices/device-1/#", true),
        (other, "devices/+/state", false),
        (other, "$share/x/devices/+/state", false),
        (other, "$share/x/#", true),
        (other, "devices/#", true),
        (other, "devices/+/+", true),
        (other, "#", true),
        (other, "+", true),
        (other, "$SYS/#", true),
    ] {
        assert_eq!(
            is_refused(&broker, who, filter),
            refused,
            "{who:?} {filter}"
        );
    }
    let reader = subscriber(&broker, other, "devices/+/state");
    assert_eq!(published(&broker, device, "devices/device-1/state", &[]), 0);
    assert_eq!(
        reader.wait_for_lines(1, "message "),
        ["devices/device-1/state"]
    );
    // A Will that its client may not publish does not get in with it.
    let will = [
        "-t",
        "devices/device-1/state",
        "--will-topic",
        "devices/device-2/state",
    ];
    let refused = client(&broker, "mosquitto_sub", "device-1", "", &will).finish();
    assert_ne!(refused.code, Some(0), "{:#?}", refused.stderr);
}

// Breaks if: a permission that is removed stays with whoever is connected, or a file with a mistake changes anything.
#[test]
fn a_permission_that_is_removed_is_gone_for_who_is_connected() {
    let folder = Folder::new();
    let file = |text: &str| {
        let new = folder.write("new", text);
        let file = folder.path().join("acl");
        std::fs::rename(new, &file).expect("the folder is ours");
        file
    };
    let permissions = file("topic readwrite news/#\ntopic write sport/#\n");
    let broker = Broker::configured(&format!(
        "[auth]\nanonymous = true\n[acl]\nmosquitto_file = {permissions:?}\n"
    ));
    let everything = subscriber(&broker, ("s", ""), "#");
    let writer = ("p", "");
    assert_eq!(published(&broker, writer, "news/1", &[]), 0);
    file("topic read sport/#\ntopic write #\n");
    broker.signal("HUP");
    broker.wait_for_samples(&[("postbud_reloads_total{result=\"success\"}", 1.0)]);
    for topic in ["news/2", "sport/3"] {
        published(&broker, writer, topic, &[]);
    }
    file("topic #\ntopic everything #\n");
    broker.signal("HUP");
    broker.wait_for_log(&["acl:2", "the access is"]);
    for topic in ["news/4", "sport/5"] {
        published(&broker, writer, topic, &[]);
    }
    let seen = ["news/1", "sport/3", "sport/5"];
    assert_eq!(everything.wait_for_lines(3, "message "), seen);
}
