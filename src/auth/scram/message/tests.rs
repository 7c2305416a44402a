use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[test]
fn a_first_message_is_taken_apart() {
    let message = "y,a=the=2Cboss,n=a=3D=2Cb,r=xyz,x=ignored";
    let first = ClientFirst::parse(message.as_bytes()).expect("it is right");
    assert_eq!(
        first,
        ClientFirst {
            gs2_header: "y,a=the=2Cboss,",
            bare: "n=a=3D=2Cb,r=xyz,x=ignored",
            user: "a=,b".to_owned(),
            authorization: Some("the,boss".to_owned()),
            nonce: "xyz",
        }
    );
    let plain = ClientFirst::parse(b"n,,n=user,r=1").expect("it is right");
    assert_eq!((plain.gs2_header, plain.authorization), ("n,,", None));
}

// Breaks if: channel binding, a mandatory extension or a wrong name is taken for something that is understood.
#[test]
fn a_first_message_that_is_wrong_is_refused() {
    let long = format!("n,,n=user,r={}", "x".repeat(LONGEST));
    for message in [
        "",
        "n",
        "n,",
        "n,,",
        "n=user,r=1",
        "p=tls-unique,,n=user,r=1",
        "x,,n=user,r=1",
        "n,b=c,n=user,r=1",
        "n,a=,n=user,r=1",
        "n,,m=x,n=user,r=1",
        "n,,n=user,r=1,m=x",
        "n,,n=user,r=1,xy",
        "n,,n=,r=1",
        "n,,n=us=er,r=1",
        "n,,n=us=2c,r=1",
        "n,,n=user=,r=1",
        "n,,n=us\0er,r=1",
        "n,,n=user,r=",
        "n,,n=user,r=a b",
        "n,,n=user,r=\u{e6}",
        "n,,r=1,n=user",
        "n,,n=user",
        &long,
    ] {
        assert_eq!(ClientFirst::parse(message.as_bytes()), None, "{message}");
    }
    assert_eq!(ClientFirst::parse(b"n,,n=\xff,r=1"), None);
}

#[test]
fn a_last_message_is_taken_apart() {
    let proof = STANDARD.encode([7; 32]);
    let message = format!("c=biws,r=xyz,x=,y,p={proof}");
    assert_eq!(
        ClientFinal::parse(message.as_bytes()),
        None,
        "an empty extension"
    );
    let message = format!("c=biws,r=xyz,x=y,p={proof}");
    let last = ClientFinal::parse(message.as_bytes()).expect("it is right");
    assert_eq!(
        last,
        ClientFinal {
            without_proof: "c=biws,r=xyz,x=y",
            binding: b"n,,".to_vec(),
            nonce: "xyz",
            proof: [7; 32],
        }
    );
    for message in [
        String::new(),
        format!("p={proof}"),
        format!("c=biws,p={proof}"),
        format!("r=xyz,c=biws,p={proof}"),
        format!("c=*,r=xyz,p={proof}"),
        format!("c=biws,r=xyz,m=x,p={proof}"),
        format!("c=biws,r=xyz,p={proof},x=y"),
        "c=biws,r=xyz,p=".to_owned(),
        "c=biws,r=xyz,p=AAAA".to_owned(),
        "c=biws,r=xyz".to_owned(),
    ] {
        assert_eq!(ClientFinal::parse(message.as_bytes()), None, "{message}");
    }
}

proptest! {
    // Breaks if: a message can be made that ends the broker, or whose parts are not those it was made of.
    #[test]
    fn no_message_does_harm(message in "[nyp=,acrm3D2C\u{e6}\0]{0,24}", bytes in vec(any::<u8>(), 0..24)) {
        for data in [message.as_bytes(), &bytes] {
            if let Some(first) = ClientFirst::parse(data) {
                let whole = [first.gs2_header, first.bare].concat();
                prop_assert_eq!(whole.as_bytes(), data);
            }
            let _ = ClientFinal::parse(data);
        }
    }
}
