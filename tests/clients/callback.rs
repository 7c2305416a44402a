//! A service that is asked by HTTP: it says yes, no, nothing, takes its time, or is dead.

use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::broker::Broker;
use crate::support::folder::Folder;
use crate::support::http::get;
use crate::support::process::Process;
use crate::support::raw::{
    RawClient, connect_311, connect_311_as, publish_311, publish_311_qos1, published_311,
    subscribe_311,
};
use crate::support::service::{Asked, Reply, Service};

const ACCEPTED: [u8; 4] = [0x20, 0x02, 0x00, 0x00];
const UNAVAILABLE: [u8; 4] = [0x20, 0x02, 0x00, 0x03];
const REFUSED: [u8; 4] = [0x20, 0x02, 0x00, 0x04];

fn question(asked: &Asked) -> Value {
    serde_json::from_str(&asked.body).expect("a question in JSON")
}

fn result(result: &str) -> Reply {
    Some((200, json!({ "result": result }).to_string()))
}

/// Answers by the User Name.
fn by_name(asked: &Asked) -> Reply {
    let question = question(asked);
    match question["user_name"].as_str().unwrap_or("") {
        "yes" => Some((204, String::new())),
        "broken" => Some((500, json!({"result": "allow"}).to_string())),
        "silent" => None,
        name @ ("allow" | "deny" | "ignore") => result(name),
        _ => Some((200, "allow".to_owned())),
    }
}

#[track_caller]
fn connack(broker: &Broker, client_id: &str, user_name: &str) -> Vec<u8> {
    let mut client = RawClient::connect(broker.tcp);
    client.send(&connect_311_as(client_id, user_name, "open sesame"));
    client.packet()
}

fn asking_who(service: &Service) -> String {
    format!(
        "[auth.http]\nauthenticate_url = {:?}\ntimeout = \"500ms\"\n",
        service.url("/who")
    )
}

#[test]
fn the_service_decides_who_gets_in() {
    let service = Service::start(by_name);
    let folder = Folder::new();
    let headers = folder.write("headers", "Authorization: Bearer broker's own\n");
    let broker = Broker::configured(&format!(
        "{}headers_file = {headers:?}\n",
        asking_who(&service)
    ));
    for (name, expected) in [
        ("allow", ACCEPTED),
        ("yes", ACCEPTED),
        ("deny", REFUSED),
        ("ignore", REFUSED),
        ("broken", UNAVAILABLE),
        ("odd", UNAVAILABLE),
        ("silent", UNAVAILABLE),
    ] {
        assert_eq!(connack(&broker, name, name), expected, "{name}");
    }
    let sample = |outcome| {
        format!(
            "postbud_auth_http_requests_total{{question=\"authenticate\",outcome=\"{outcome}\"}}"
        )
    };
    for (outcome, count) in [
        ("allow", 2.0),
        ("deny", 1.0),
        ("ignore", 1.0),
        ("status", 1.0),
        ("malformed", 1.0),
        ("timeout", 1.0),
    ] {
        broker.wait_for_samples(&[(&sample(outcome), count)]);
    }
    let asked = service.asked("/who");
    assert_eq!(asked[0].authorization, ["Bearer broker's own"]);
    let (_, metrics) = get(broker.http, "/metrics");
    for secret in ["open sesame", "broker's own"] {
        let told = |text: &str| text.contains(secret);
        assert!(
            !told(&metrics) && !broker.log().iter().any(|line| told(line)),
            "{secret}"
        );
    }
}

#[test]
fn the_service_is_told_all_that_is_known() {
    let service = Service::start(by_name);
    let broker = Broker::configured(&asking_who(&service));
    // A client that others wrote.
    let mut publisher = Command::new("mosquitto_pub");
    let port = broker.tcp.port().to_string();
    publisher.args(["-h", "127.0.0.1", "-p", &port, "-i", "shell"]);
    publisher.args(["-u", "allow", "-P", "open sesame"]);
    publisher.args(["-t", "t", "-m", "m", "-q", "1"]);
    Process::start(publisher).succeed();
    let asked = service.asked("/who");
    let [asked] = &asked[..] else {
        panic!("asked {asked:?}");
    };
    assert_eq!(asked.line, "POST /who");
    let question = question(asked);
    assert_eq!(question["client_id"], "shell");
    assert_eq!(question["user_name"], "allow");
    assert_eq!(question["password"], "open sesame");
    assert_eq!(question["address"], "127.0.0.1");
    assert!(question["port"].as_u64().is_some_and(|port| port > 0));
}

/// What the service has no opinion of is for the next one; here it is asked before the tokens are.
#[test]
fn the_service_can_leave_it_to_others() {
    let service = Service::start(by_name);
    let folder = Folder::new();
    let secret = folder.write("secret", "correct horse battery staple correct");
    let broker = Broker::configured(&format!(
        "[auth]\nways = [\"http\", \"token\"]\nanonymous = true\n[auth.token]\n\
         algorithms = [\"HS256\"]\nsecret_file = {secret:?}\n{}",
        asking_who(&service)
    ));
    assert_eq!(connack(&broker, "c", "ignore"), REFUSED);
    assert_eq!(connack(&broker, "c", "allow"), ACCEPTED);
    assert_eq!(service.asked("/who").len(), 2);
    // Who gives no name proves none; the service says something that is no answer to that.
    let mut nobody = RawClient::connect(broker.tcp);
    nobody.send(&connect_311("nobody"));
    assert_eq!(nobody.packet(), UNAVAILABLE);
}

/// A service that never answers is waited for in vain by those who depend on it, and by nobody else.
#[test]
fn a_slow_service_harms_nobody_else() {
    let service = Service::start(by_name);
    let broker = Broker::configured(&format!(
        "{}requests_at_once = 4\nrequests_waiting = 12\n",
        asking_who(&service)
    ));
    let mut bystander = RawClient::accepted(broker.tcp, &connect_311_as("bystander", "allow", "p"));
    let mut waiting: Vec<RawClient> = (0..40)
        .map(|number| {
            let mut client = RawClient::connect(broker.tcp);
            client.send(&connect_311_as(&number.to_string(), "silent", "p"));
            client
        })
        .collect();
    for _ in 0..20 {
        bystander.expect_nothing();
    }
    for client in &mut waiting {
        assert_eq!(client.packet(), UNAVAILABLE);
    }
    bystander.expect_nothing();
    // Too many for the service are told at once, and in 3.1.1 with the same code.
    let busy = "postbud_auth_http_requests_total{question=\"authenticate\",outcome=\"busy\"}";
    let (_, metrics) = get(broker.http, "/metrics");
    let busy = crate::support::metrics::sample(&metrics, busy).expect("it is there");
    assert!((1.0..=24.0).contains(&busy), "{busy}");
    assert_eq!(connack(&broker, "after", "allow"), ACCEPTED);
}

#[test]
fn a_dead_service_lets_nobody_in_until_it_is_back() {
    // A port that was free a moment ago, and is given to nobody else while it is held.
    let held = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = held.local_addr().expect("it is bound");
    drop(held);
    let broker = Broker::configured(&format!(
        "[auth.http]\nauthenticate_url = \"http://{address}/who\"\ntimeout = \"500ms\"\n"
    ));
    assert_eq!(connack(&broker, "c", "allow"), UNAVAILABLE);
    broker.wait_for_log(&["the service fails", "is refused"]);
    let _service = Service::start_on(&address.to_string(), by_name);
    assert_eq!(connack(&broker, "c", "allow"), ACCEPTED);
    broker.wait_for_log(&["the service answers again"]);
}

#[test]
fn a_service_by_https_has_to_show_a_certificate_that_is_trusted() {
    let folder = Folder::new();
    let stranger = crate::support::certificates::Certificates::generate(&folder);
    // The broker's own TLS listener stands in for the service: it speaks no HTTP, but it has a certificate.
    let other = Broker::start();
    for (authority, reason) in [
        (&stranger.authority, "certificate"),
        (&other.certificates.authority, "no answer"),
    ] {
        let broker = Broker::configured(&format!(
            "[auth.http]\nauthenticate_url = \"https://{}/who\"\nca_file = {authority:?}\n",
            other.tls
        ));
        assert_eq!(connack(&broker, "c", "allow"), UNAVAILABLE);
        let line = broker.wait_for_log(&["the service fails"]);
        assert!(line.contains(reason), "{line}");
    }
}

/// Allows what is below the client's own topic, and says nothing about `open`.
fn own_topics(asked: &Asked) -> Reply {
    let question = question(asked);
    let topic = question["topic"].as_str().unwrap_or_default();
    let own = question["client_id"].as_str().unwrap_or_default();
    match topic {
        "open" => result("ignore"),
        "broken" => Some((500, String::new())),
        topic if topic.split('/').next() == Some(own) => result("allow"),
        _ => result("deny"),
    }
}

fn asking_what(service: &Service, more: &str) -> Broker {
    Broker::configured(&format!(
        "[auth]\nanonymous = true\n[auth.http]\nauthorize_url = {:?}\n{more}",
        service.url("/may")
    ))
}

#[test]
fn the_service_decides_what_a_client_may_do() {
    let service = Service::start(own_topics);
    let broker = asking_what(&service, "");
    let mut client = RawClient::accepted(broker.tcp, &connect_311("c1"));
    for (filter, code) in [
        ("c1/#", 0),
        ("#", 0x80),
        ("+/x", 0x80),
        ("c2/x", 0x80),
        ("$share/g/c2/#", 0x80),
        ("$share/g/c1/x", 0),
        // Where the service says nothing, nobody else allows it; where it fails, neither.
        ("open", 0x80),
        ("broken", 0x80),
    ] {
        client.send(&subscribe_311(1, filter, 0));
        let suback = client.packet();
        assert_eq!(suback, [0x90, 0x03, 0x00, 0x01, code], "{filter}");
    }
    client.send(&publish_311("c2/x", b"no"));
    client.send(&publish_311("$delayed/1/c2/x", b"no"));
    client.send(&publish_311_qos1(2, "c1/y", b"yes"));
    let packets = [client.packet(), client.packet()];
    let publish = packets.iter().find(|it| it[0] == 0x30).expect("a PUBLISH");
    assert_eq!(published_311(publish), ("c1/y".to_owned(), b"yes".to_vec()));
    assert!(
        packets.contains(&vec![0x40, 0x02, 0x00, 0x02]),
        "{packets:02x?}"
    );
    let published = service
        .asked("/may")
        .iter()
        .map(question)
        .find(|it| it["topic"] == "c1/y");
    let published = published.expect("it was asked");
    let expected = json!({
        "action": "publish", "topic": "c1/y", "qos": 1, "retain": false, "share": null,
        "client_id": "c1", "user": null, "groups": [], "address": "127.0.0.1",
        "listener": published["listener"],
    });
    assert_eq!(published, expected);
}

#[test]
fn an_answer_is_remembered() {
    let service = Service::start(own_topics);
    let broker = asking_what(&service, "cache_time = \"1h\"\n");
    for _ in 0..3 {
        // A connection remembers for itself; the service's answers outlive it.
        let mut client = RawClient::accepted(broker.tcp, &connect_311("c1"));
        for id in 1..=5 {
            client.send(&publish_311_qos1(id, "c1/x", b"yes"));
            client.packet();
        }
    }
    assert_eq!(service.asked("/may").len(), 1);
    let mut other = RawClient::accepted(broker.tcp, &connect_311("c2"));
    other.send(&subscribe_311(1, "c1/x", 0));
    other.expect(&[0x90, 0x03, 0x00, 0x01, 0x80]);
    assert_eq!(service.asked("/may").len(), 2);
}

/// Packets behind one that waits for an answer wait too, in their order, and those of others do not.
#[test]
fn who_waits_for_an_answer_waits_alone() {
    let open = Arc::new(AtomicBool::new(false));
    let opened = Arc::clone(&open);
    let service = Service::start(move |asked| {
        let question = question(asked);
        match question["topic"] == "slow/x" && !opened.load(Ordering::SeqCst) {
            true => None,
            false => result("allow"),
        }
    });
    let broker = asking_what(&service, "timeout = \"3s\"\n");
    let mut slow = RawClient::accepted(broker.tcp, &connect_311("slow"));
    let mut quick = RawClient::accepted(broker.tcp, &connect_311("quick"));
    quick.subscribe_311("#", 0);
    slow.send(&publish_311("slow/x", b"is refused in the end"));
    slow.send(&publish_311("slow/y", b"comes behind"));
    for id in 2..=20 {
        quick.send(&publish_311_qos1(id, "quick/x", b"at once"));
        let mut packets = [quick.packet(), quick.packet()];
        packets.sort();
        assert_eq!(packets[1], [0x40, 0x02, 0x00, id as u8]);
    }
    let (topic, _) = published_311(&quick.packet());
    assert_eq!(topic, "slow/y", "what was refused is not delivered");
    broker.wait_for_samples(&[(
        "postbud_auth_http_requests_total{question=\"authorize\",outcome=\"timeout\"}",
        1.0,
    )]);
}
