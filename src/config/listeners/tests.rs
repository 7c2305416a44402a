//! Listeners as they are written, right and wrong.

use std::path::PathBuf;
use std::time::Duration;

use crate::broker::{Entrance, Limits};
use crate::codec::Version;
use crate::listener::options::{
    Inside, InternetOptions, ListenerOptions, Place, ProxyOptions, TcpOptions, UnixOptions,
    WebSocketOptions,
};

use super::super::tests::{complaints, load};

const WS: &str = "[[listener]]\nkind = \"ws\"\naddress = \"127.0.0.1:1\"\n";
const TCP: &str = "[[listener]]\nkind = \"tcp\"\naddress = \"127.0.0.1:1\"\n";
const UNIX: &str = "[[listener]]\nkind = \"unix\"\npath = \"/run/mqtt\"\n";

fn listeners(text: &str) -> Vec<ListenerOptions> {
    load(text, &[]).unwrap().listener.listeners
}

#[track_caller]
fn internet(listener: &ListenerOptions) -> &InternetOptions {
    match &listener.place {
        Place::Internet(options) => options,
        Place::Unix(_) => panic!("at a file"),
    }
}

#[test]
fn each_kind_has_its_layers() {
    let tls = "[listener.tls]\ncertificate = \"c\"\nkey = \"k\"\n";
    let text = format!(
        "{TCP}{}{tls}{}{}{tls}{UNIX}",
        TCP.replace("tcp", "tls").replace(":1\"", ":2\""),
        WS.replace(":1\"", ":3\""),
        WS.replace("ws", "wss").replace(":1\"", ":4\""),
    );
    let listeners = listeners(&text);
    let kinds: Vec<_> = listeners.iter().map(ListenerOptions::kind).collect();
    assert_eq!(kinds, ["tcp", "tls", "ws", "wss", "unix"]);
    let names: Vec<_> = listeners.iter().map(ListenerOptions::name).collect();
    assert_eq!(
        names,
        [
            "tcp:127.0.0.1:1",
            "tls:127.0.0.1:2",
            "ws:127.0.0.1:3",
            "wss:127.0.0.1:4",
            "unix:/run/mqtt"
        ]
    );
    let inside = |index: usize| listeners[index].tls.as_ref().map(|tls| tls.inside);
    // A browser asks for HTTP and would be refused if only MQTT were there.
    assert_eq!(
        (inside(1), inside(3)),
        (Some(Inside::Mqtt), Some(Inside::Http))
    );
}

#[test]
fn every_setting_of_a_listener_reaches_its_option() {
    let text = "name = \"front\"\nproxy_protocol = true\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n\
                proxy_user = \"common-name\"\n[listener.tcp]\nnodelay = false\nkeepalive = \"2m\"\n\
                backlog = 7\nreceive_buffer = \"8KiB\"\nsend_buffer = \"9KiB\"\n[listener.websocket]\n\
                path = \"/deep/mqtt\"\norigins = [\"https://Example.org\", \"null\"]\n";
    let network = |text: &str| text.parse().unwrap();
    let expected = ListenerOptions {
        name: Some("front".into()),
        place: Place::Internet(InternetOptions {
            address: "127.0.0.1:1".parse().unwrap(),
            tcp: TcpOptions {
                nodelay: false,
                keepalive: Duration::from_secs(120),
                backlog: 7,
                receive_buffer: Some(8192),
                send_buffer: Some(9216),
            },
            proxy: Some(ProxyOptions {
                trusted: vec![network("10.0.0.0/8"), network("::1")],
                common_name: true,
            }),
        }),
        tls: None,
        websocket: Some(WebSocketOptions {
            path: "/deep/mqtt".to_owned(),
            origins: vec!["https://example.org".to_owned(), "null".to_owned()],
        }),
        ..ListenerOptions::tcp("127.0.0.1:1".parse().unwrap())
    };
    assert_eq!(
        listeners(&format!("{WS}{text}")),
        std::slice::from_ref(&expected)
    );
    let variables = [
        ("POSTBUD_LISTENER_0_NAME", "front"),
        ("POSTBUD_LISTENER_0_PROXY_PROTOCOL", "true"),
        ("POSTBUD_LISTENER_0_TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
        ("POSTBUD_LISTENER_0_PROXY_USER", "common-name"),
        ("POSTBUD_LISTENER_0_TCP_NODELAY", "false"),
        ("POSTBUD_LISTENER_0_TCP_KEEPALIVE", "2m"),
        ("POSTBUD_LISTENER_0_TCP_BACKLOG", "7"),
        ("POSTBUD_LISTENER_0_TCP_RECEIVE_BUFFER", "8KiB"),
        ("POSTBUD_LISTENER_0_TCP_SEND_BUFFER", "9KiB"),
        ("POSTBUD_LISTENER_0_WEBSOCKET_PATH", "/deep/mqtt"),
        (
            "POSTBUD_LISTENER_0_WEBSOCKET_ORIGINS",
            "https://example.org,null",
        ),
    ];
    let config = load(WS, &variables).unwrap();
    assert_eq!(config.listener.listeners, [expected]);
}

#[test]
fn a_socket_in_the_file_system_has_a_path_and_permissions() {
    let unix = |text: &str| match &listeners(text)[0].place {
        Place::Unix(options) => options.clone(),
        Place::Internet(_) => panic!("on an address"),
    };
    let path = PathBuf::from("/run/mqtt");
    let expected = UnixOptions {
        path: path.clone(),
        mode: 0o660,
    };
    assert_eq!(unix(UNIX), expected);
    let expected = UnixOptions { path, mode: 0o600 };
    assert_eq!(unix(&format!("{UNIX}mode = \"0600\"\n")), expected);
    assert_eq!(
        complaints("[[listener]]\nkind = \"unix\"\n", &[]),
        "c.toml:1:1: listener.0 has no path; expected a path such as path = \"/run/postbud/mqtt\""
    );
    // `mode = 660` would be another number than it looks like.
    for mode in [
        "660",
        "\"66\"",
        "\"668\"",
        "\"1777\"",
        "\"rw\"",
        "\"00660\"",
    ] {
        let complaint = complaints(&format!("{UNIX}mode = {mode}\n"), &[]);
        assert!(
            complaint.ends_with("expected permissions in octal, such as \"660\""),
            "{mode}: {complaint}"
        );
    }
}

#[test]
fn what_belongs_to_another_kind_is_refused() {
    for (listener, foreign, expected) in [
        (
            TCP,
            "path = \"/run/mqtt\"\n",
            "kind = \"unix\", or path under [listener.websocket]",
        ),
        (
            WS,
            "path = \"/mqtt\"\n",
            "kind = \"unix\", or path under [listener.websocket]",
        ),
        (TCP, "mode = \"600\"\n", "kind = \"unix\""),
        (
            TCP,
            "websocket.path = \"/a\"\n",
            "kind = \"ws\" or \"wss\", or no WebSocket settings",
        ),
        (
            WS,
            "tls.key = \"k\"\n",
            "kind = \"tls\" or \"wss\", or no TLS settings",
        ),
        (UNIX, "address = \"127.0.0.1:1\"\n", "path, or another kind"),
        (
            UNIX,
            "tcp.nodelay = true\n",
            "another kind, or no TCP settings",
        ),
        (
            UNIX,
            "proxy_protocol = true\n",
            "another kind, or no PROXY protocol",
        ),
        (
            UNIX,
            "trusted_proxies = []\n",
            "another kind, or no PROXY protocol",
        ),
    ] {
        let complaint = complaints(&format!("{listener}{foreign}"), &[]);
        assert!(complaint.starts_with("c.toml:4:"), "{foreign}{complaint}");
        let end = format!("; expected {expected}");
        assert!(complaint.ends_with(&end), "{foreign}{complaint}");
    }
}

#[test]
fn proxies_are_named_or_there_are_none() {
    let proxied = format!("{TCP}proxy_protocol = true\n");
    let expected = "c.toml:4:18: listener.0.proxy_protocol is true but no proxy is trusted; \
                    expected trusted_proxies = [\"10.0.0.0/8\"] or their addresses";
    assert_eq!(complaints(&proxied, &[]), expected);
    let empty = format!("{proxied}trusted_proxies = []\n");
    assert_eq!(complaints(&empty, &[]), expected);
    // One mistake is told once.
    let wrong = format!("{proxied}trusted_proxies = [\"10.0.0.1/8\"]\n");
    assert_eq!(
        complaints(&wrong, &[]),
        "c.toml:5:19: listener.0.trusted_proxies is an array; \
         expected an array of addresses and networks such as \"10.0.0.0/8\""
    );
    // Whoever wrote this believes that proxies are let in, or that nobody else is.
    for alone in [
        "trusted_proxies = [\"::1\"]\n",
        "proxy_user = \"common-name\"\n",
    ] {
        let complaint = complaints(&format!("{TCP}{alone}"), &[]);
        assert!(complaint.starts_with("c.toml:4:"), "{complaint}");
        assert!(
            complaint.contains("listener.0.proxy_protocol is not true"),
            "{complaint}"
        );
    }
    let off = format!("{TCP}proxy_protocol = false\ntrusted_proxies = []\nproxy_user = \"\"\n");
    assert_eq!(internet(&listeners(&off)[0]).proxy, None);
}

#[test]
fn paths_and_origins_of_a_websocket_are_what_browsers_send() {
    for path in [
        "",
        "mqtt",
        "/mqtt?x",
        "/mqtt#x",
        "/a b",
        "/\u{e6}",
        "http://x/mqtt",
    ] {
        let complaint = complaints(&format!("{WS}websocket.path = {path:?}\n"), &[]);
        assert!(
            complaint.contains("expected a path such as \"/mqtt\""),
            "{path}: {complaint}"
        );
    }
    for origin in [
        "",
        "*",
        "example.org",
        "https://",
        "https://example.org/",
        "https://a b",
    ] {
        let complaint = complaints(&format!("{WS}websocket.origins = [{origin:?}]\n"), &[]);
        assert!(
            complaint.contains("expected an array of origins"),
            "{origin}: {complaint}"
        );
    }
    let sound = [
        "http://localhost:8080",
        "https://[::1]:1",
        "app+x://host",
        "null",
    ];
    let config = listeners(&format!("{WS}websocket.origins = {sound:?}\n"));
    assert_eq!(config[0].websocket.as_ref().unwrap().origins, sound);
}

#[test]
fn no_two_listeners_have_one_file_or_one_name() {
    let twice = format!("{UNIX}{UNIX}");
    assert_eq!(
        complaints(&twice, &[]),
        "c.toml:6:8: listener.1.path is \"/run/mqtt\", but listener.0.path is \"/run/mqtt\" (c.toml:3:8); \
         expected a file of its own"
    );
    let control = format!("control.socket = \"/run/mqtt\"\n{UNIX}");
    let complaint = complaints(&control, &[]);
    assert!(
        complaint.starts_with("c.toml:1:18: control.socket is "),
        "{complaint}"
    );
    let named = |first: &str, second: &str| format!("{TCP}{first}{UNIX}{second}");
    let same = named("name = \"a\"\n", "name = \"a\"\n");
    assert_eq!(
        complaints(&same, &[]),
        "c.toml:8:8: listener.1.name is \"a\", which is the name of listener.0; \
         expected a name of its own"
    );
    // The name that another one has without being given any.
    let stolen = named("", "name = \"tcp:127.0.0.1:1\"\n");
    assert!(complaints(&stolen, &[]).contains("which is the name of listener.0"));
    load(&named("name = \"a\"\n", "name = \"b\"\n"), &[]).unwrap();
    for name in ["", "  ", "a\tb", &"x".repeat(65)] {
        let complaint = complaints(&format!("{TCP}name = {name:?}\n"), &[]);
        assert!(
            complaint.contains("expected a name of 1 to 64 bytes"),
            "{name}: {complaint}"
        );
    }
}

#[test]
fn what_holds_for_the_clients_of_a_listener_reaches_them() {
    let text = "authentication = false\nversions = [\"5\", \"3.1.1\"]\nmount = \"floor/2/\"\n[listener.limits]\n\
                connections_maximum = 11\nreceive_maximum = 12\npacket_size_maximum = \"13KiB\"\n\
                topic_alias_maximum = 0\nkeep_alive_maximum = \"15s\"\nexpiry_maximum = \"16h\"\n";
    let variables = [
        ("POSTBUD_LISTENER_0_AUTHENTICATION", "false"),
        ("POSTBUD_LISTENER_0_VERSIONS", "5,3.1.1"),
        ("POSTBUD_LISTENER_0_MOUNT", "floor/2/"),
        ("POSTBUD_LISTENER_0_LIMITS_CONNECTIONS_MAXIMUM", "11"),
        ("POSTBUD_LISTENER_0_LIMITS_RECEIVE_MAXIMUM", "12"),
        ("POSTBUD_LISTENER_0_LIMITS_PACKET_SIZE_MAXIMUM", "13KiB"),
        ("POSTBUD_LISTENER_0_LIMITS_TOPIC_ALIAS_MAXIMUM", "0"),
        ("POSTBUD_LISTENER_0_LIMITS_KEEP_ALIVE_MAXIMUM", "15s"),
        ("POSTBUD_LISTENER_0_LIMITS_EXPIRY_MAXIMUM", "16h"),
    ];
    let from_variables = load(TCP, &variables).unwrap().listener.listeners;
    for listeners in [listeners(&format!("{TCP}{text}")), from_variables] {
        let it = &listeners[0];
        assert!(!it.authentication);
        assert_eq!(it.connections_maximum, Some(11));
        let expected = Entrance {
            versions: vec![Version::V5, Version::V311],
            mount: Some("floor/2/".into()),
            limits: Limits {
                receive_maximum: Some(12),
                packet_size_maximum: Some(13 * 1024),
                topic_alias_maximum: Some(0),
                keep_alive_maximum: Some(15),
                expiry_maximum: Some(Duration::from_secs(16 * 3600)),
            },
        };
        assert_eq!(*it.entrance, expected);
    }
    for wrong in [
        "mount = \"floor\"",
        "mount = \"+/\"",
        "mount = \"$SYS/\"",
        "versions = []",
        "versions = [\"4\"]",
        "limits.receive_maximum = 0",
        "limits.connections_maximum = 0",
    ] {
        let complaint = complaints(&format!("{TCP}{wrong}\n"), &[]);
        assert!(complaint.contains("expected "), "{wrong}: {complaint}");
    }
}
