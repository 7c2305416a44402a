//! Headers as proxies send them, and everything that only looks like one.

use proptest::prelude::*;

use super::*;

fn address(text: &str) -> Option<SocketAddr> {
    Some(text.parse().unwrap())
}

/// A header of version 2 with this command, family and what follows.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, rest].concat()
}

const ENDPOINTS_4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 0x07, 0x5b];

fn on_behalf(details: &[u8]) -> Vec<u8> {
    v2(0x21, 0x11, &[&ENDPOINTS_4, details].concat())
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind][..], &length, value].concat()
}

fn tls(client: u8, verify: u32, details: &[u8]) -> Vec<u8> {
    tlv(
        0x20,
        &[&[client][..], &verify.to_be_bytes(), details].concat(),
    )
}

#[track_caller]
fn header(bytes: &[u8]) -> Header {
    let (header, length) = parse(bytes).unwrap().expect("a whole header");
    assert_eq!(length, bytes.len());
    header
}

#[test]
fn version_1_tells_source_and_nothing_more() {
    let longest = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                   ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    for (line, source) in [
        (
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324 1883\r\n",
            address("192.0.2.1:56324"),
        ),
        (
            "PROXY TCP6 2001:db8::1 2001:db8::2 1 0\r\n",
            address("[2001:db8::1]:1"),
        ),
        // An IPv4 client of a socket for both.
        (
            "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n",
            address("192.0.2.1:1"),
        ),
        (
            longest,
            address("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
        ),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN what ever it says\r\n", None),
    ] {
        let expected = Header {
            source,
            common_name: None,
        };
        assert_eq!(header(line.as_bytes()), expected, "{line}");
    }
}

#[test]
fn malformed_lines_are_refused() {
    for line in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 1883 \r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.1 56324 1883\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 65536\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 +6324 1883\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 056324 1883\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.1 56324 1883\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100 56324 1883\r\n",
        "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n",
        "PROXY tcp4 192.0.2.1 198.51.100.1 1 2\r\n",
        "PROXY UNKNOWN\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 1883\n",
        "PROXY UNKNOWN\u{e6}\u{0}\r",
    ] {
        let line = match line.ends_with('\r') {
            // No end in sight, and longer than any.
            true => line.repeat(10),
            false => line.to_owned(),
        };
        assert_eq!(parse(line.as_bytes()), Err(Malformed::Line), "{line}");
    }
    let invalid = [&b"PROXY UNKNOWN "[..], &[0xff], b"\r\n"].concat();
    assert_eq!(parse(&invalid), Err(Malformed::Line));
}

#[test]
fn what_begins_otherwise_is_seen_at_its_first_byte_that_does() {
    for bytes in [
        &b"\x10"[..],
        b"\x16\x03\x01",
        b"GET / HTTP/1.1\r\n",
        b"PROXX",
        b"proxy ",
        b"\r\n\r\n\x00\r\nQUIT\r",
        b"\r\nPROXY ",
    ] {
        assert_eq!(parse(bytes), Err(Malformed::Missing), "{bytes:02x?}");
        let before = &bytes[..bytes.len() - 1];
        if !matches!(bytes[0], b'P' | b'\r') {
            continue;
        }
        assert!(
            parse(&before[..before.len().min(4)]).is_ok_and(|it| it.is_none()) || before[1] != b'R'
        );
    }
    assert_eq!(parse(b""), Ok(None));
}

#[test]
fn version_2_tells_the_source_of_its_family() {
    assert_eq!(header(&on_behalf(&[])).source, address("192.0.2.1:56324"));
    let mut six = [0; 36];
    six[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    six[15] = 1;
    six[32..34].copy_from_slice(&[0x30, 0x39]);
    assert_eq!(
        header(&v2(0x21, 0x21, &six)).source,
        address("[2001:db8::1]:12345")
    );
    six[..16].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1]);
    assert_eq!(
        header(&v2(0x21, 0x21, &six)).source,
        address("192.0.2.1:12345")
    );
    // Nothing that an address could be made of: the client of a socket in the file system, or nobody knows.
    for nobody in [v2(0x21, 0x31, &[b'a'; 216]), v2(0x21, 0x00, &[])] {
        assert_eq!(header(&nobody), Header::default());
    }
}

/// What the proxy says of itself is not looked at.
#[test]
fn a_proxy_that_speaks_for_itself_is_at_its_own_address() {
    for rest in [&[][..], &ENDPOINTS_4, &[0xff; 100]] {
        for family in [0x00, 0x11, 0xff] {
            assert_eq!(header(&v2(0x20, family, rest)), Header::default());
        }
    }
}

#[test]
fn malformed_headers_of_version_2_are_refused() {
    let mut short = on_behalf(&[]);
    short[15] = 11;
    let mut long = v2(0x21, 0x11, &[0; 12]);
    long[14..16].copy_from_slice(&[0xff, 0xff]);
    let mut details = on_behalf(&tlv(0x04, &[0; 3]));
    details[15] -= 1;
    for (bytes, malformed) in [
        (v2(0x11, 0x11, &ENDPOINTS_4), Malformed::Version),
        (v2(0x31, 0x11, &ENDPOINTS_4), Malformed::Version),
        (v2(0x22, 0x11, &ENDPOINTS_4), Malformed::Command),
        (v2(0x2f, 0x11, &ENDPOINTS_4), Malformed::Command),
        (v2(0x21, 0x12, &ENDPOINTS_4), Malformed::Family),
        (v2(0x21, 0x10, &ENDPOINTS_4), Malformed::Family),
        (v2(0x21, 0x41, &ENDPOINTS_4), Malformed::Family),
        (v2(0x21, 0x21, &ENDPOINTS_4), Malformed::Addresses),
        (v2(0x21, 0x11, &[]), Malformed::Addresses),
        (short, Malformed::Addresses),
        (long, Malformed::TooLong),
        (details, Malformed::Detail),
        (on_behalf(&[0x04]), Malformed::Detail),
        (on_behalf(&[0x04, 0x00]), Malformed::Detail),
        (on_behalf(&[0x04, 0x00, 0x01]), Malformed::Detail),
        (on_behalf(&tlv(0x03, &[0; 3])), Malformed::Detail),
        (on_behalf(&tlv(0x03, &[0; 5])), Malformed::Detail),
        (on_behalf(&tlv(0x03, &[0; 4])), Malformed::Checksum),
        (on_behalf(&tlv(0x20, &[7, 0, 0, 0])), Malformed::Detail),
        (on_behalf(&tls(7, 0, &[0x22, 0x00])), Malformed::Detail),
        (
            on_behalf(&tls(7, 0, &[0x22, 0x00, 0x02, b'a'])),
            Malformed::Detail,
        ),
        (
            on_behalf(&tls(7, 0, &tlv(0x22, &[0xff]))),
            Malformed::Detail,
        ),
        (on_behalf(&tls(7, 0, &tlv(0x22, b""))), Malformed::Detail),
        (
            on_behalf(&tls(7, 0, &tlv(0x22, b"a\0b"))),
            Malformed::Detail,
        ),
        (
            on_behalf(&tls(7, 0, &[tlv(0x22, b"a"), tlv(0x22, b"b")].concat())),
            Malformed::Detail,
        ),
        (
            on_behalf(&[tls(7, 0, &tlv(0x22, b"a")), tls(7, 0, &tlv(0x22, b"b"))].concat()),
            Malformed::Detail,
        ),
    ] {
        assert_eq!(parse(&bytes), Err(malformed), "{bytes:02x?}");
    }
}

/// Breaks if: a name is believed that no certificate stood for, or one that was not verified.
#[test]
fn a_common_name_is_told_only_if_its_certificate_was_verified() {
    let name = tlv(0x22, "æble 1".as_bytes());
    for (client, verify, known) in [
        (0x03, 0, true),
        (0x05, 0, true),
        (0x07, 0, true),
        (0x07, 1, false),
        (0x07, 0x0100_0000, false),
        (0x01, 0, false),
        (0x06, 0, false),
        (0x00, 0, false),
    ] {
        let version = tlv(0x21, b"TLSv1.3");
        let details = tls(client, verify, &[version, name.clone()].concat());
        let told = header(&on_behalf(&details)).common_name;
        assert_eq!(
            told.as_deref(),
            known.then_some("æble 1"),
            "{client} {verify}"
        );
    }
    assert_eq!(header(&on_behalf(&tls(7, 0, &[]))).common_name, None);
    // A name outside of what is said of TLS is something else.
    assert_eq!(header(&on_behalf(&name)).common_name, None);
}

#[test]
fn a_checksum_is_of_every_byte() {
    let place = |bytes: &[u8]| bytes.len() - 4 - tlv(0x04, b"pad").len();
    let mut bytes = on_behalf(&[tlv(0x03, &[0; 4]), tlv(0x04, b"pad")].concat());
    let at = place(&bytes);
    let sum = crc32c::crc32c(&bytes).to_be_bytes();
    bytes[at..at + 4].copy_from_slice(&sum);
    assert_eq!(header(&bytes).source, address("192.0.2.1:56324"));
    for index in FIXED..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[index] ^= 0x01;
        let outcome = parse(&damaged);
        assert!(
            outcome.is_err() || index == at - 3,
            "byte {index}: {outcome:?}"
        );
    }
}

fn any_header() -> impl Strategy<Value = Vec<u8>> {
    let line =
        "PROXY (TCP4 [0-9.]{7,15} [0-9.]{7,15} [0-9]{1,5} [0-9]{1,5}|UNKNOWN[ -~]{0,40})\r\n";
    let line = line.prop_map(String::into_bytes);
    let rest = prop::collection::vec(any::<u8>(), 0..300);
    let binary = (
        prop_oneof![Just(0x21), Just(0x20), any::<u8>()],
        any::<u8>(),
        rest,
    );
    let binary = binary.prop_map(|(command, family, rest)| v2(command, family, &rest));
    let good = prop::collection::vec(
        (any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)),
        0..5,
    );
    let good = good.prop_map(|details| {
        let details = details
            .iter()
            .filter(|(kind, _)| ![0x03, 0x20].contains(kind));
        on_behalf(
            &details
                .flat_map(|(kind, value)| tlv(*kind, value))
                .collect::<Vec<_>>(),
        )
    });
    prop_oneof![line, binary, good]
}

proptest! {
    /// Whatever comes, it is judged: a header ends where it says, with what follows left alone.
    #[test]
    fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(Some((_, length))) = parse(&bytes) {
            prop_assert!(length <= bytes.len());
        }
    }

    /// As the bytes come makes no difference: the verdict on the whole is the verdict on the first part of it
    /// that allows one, and what follows does not change it.
    #[test]
    fn more_bytes_never_change_a_verdict(
        header in any_header(),
        behind in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let all = [header, behind].concat();
        let mut verdict = Ok(None);
        for length in 0..=all.len() {
            let now = parse(&all[..length]);
            if verdict != Ok(None) {
                prop_assert_eq!(&now, &verdict, "{} bytes", length);
            }
            if let Ok(Some((_, end))) = &now {
                prop_assert!(*end <= length);
            }
            verdict = now;
        }
    }
}
