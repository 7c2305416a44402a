use serde_json::json;

use super::super::super::testing::Issuer;
use super::*;

const SIGNED: &str = "eyJhbGciOiJ4In0.e30";

/// Every kind of key, with what it can sign.
fn issuers() -> [(Issuer, &'static [&'static str]); 5] {
    [
        (Issuer::secret(), &["HS256", "HS384", "HS512"]),
        (
            Issuer::rsa(),
            &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
        ),
        (Issuer::p256(), &["ES256"]),
        (Issuer::p384(), &["ES384"]),
        (Issuer::ed25519(), &["EdDSA"]),
    ]
}

fn every() -> Vec<Algorithm> {
    Algorithm::ALL
        .iter()
        .map(|(_, algorithm)| *algorithm)
        .collect()
}

/// Signature and what is signed, of a token that says it is of this algorithm.
fn signed(issuer: &Issuer, algorithm: &str) -> (String, Vec<u8>) {
    let token = issuer.token(algorithm, None, &json!({"sub": "anna"}));
    let (signed, signature) = token.rsplit_once('.').unwrap();
    (
        signed.to_owned(),
        URL_SAFE_NO_PAD.decode(signature).unwrap(),
    )
}

fn fixed(issuer: &Issuer) -> Keys {
    let mut keys = Keys::default();
    keys.add(match issuer {
        Issuer::Secret(secret) => Key::of_secret(secret, &every()).unwrap(),
        public => Key::of_pem(public.pem().as_bytes(), &every()).unwrap(),
    });
    keys
}

fn set(issuers: &[(&Issuer, &str)]) -> Vec<u8> {
    let keys: Vec<Value> = issuers.iter().map(|(issuer, id)| issuer.jwk(id)).collect();
    json!({ "keys": keys }).to_string().into_bytes()
}

#[test]
fn a_key_checks_what_it_is_for_and_nothing_else() {
    for (issuer, own) in issuers() {
        let (of_set, passed_over) = of_set(&set(&[(&issuer, "k")]), &every(), true).unwrap();
        assert_eq!(passed_over, 0, "{own:?}");
        for keys in [fixed(&issuer), of_set] {
            for (name, algorithm) in Algorithm::ALL {
                let (text, signature) = signed(&issuer, name);
                let checked = keys.check(*algorithm, None, text.as_bytes(), &signature);
                match own.contains(name) {
                    true => assert_eq!(checked, Ok(()), "{name}"),
                    false => assert_eq!(checked, Err(Wrong::UnknownKey), "{name}"),
                }
                if own.contains(name) {
                    let mut other = signature.clone();
                    *other.last_mut().unwrap() ^= 1;
                    for (text, signature) in [
                        (text.as_str(), &other[..]),
                        (SIGNED, &signature),
                        (&text, &[]),
                        (&text, &signature[1..]),
                    ] {
                        let checked = keys.check(*algorithm, None, text.as_bytes(), signature);
                        assert_eq!(checked, Err(Wrong::Signature), "{name}");
                    }
                }
            }
        }
    }
}

/// The classic: a public key, which everybody has, taken for the secret of an HMAC.
#[test]
fn a_public_key_is_no_secret() {
    let issuer = Issuer::rsa();
    let forger = Issuer::Secret(issuer.pem().into_bytes());
    let (text, signature) = signed(&forger, "HS256");
    let checked = fixed(&issuer).check(Algorithm::Hs256, None, text.as_bytes(), &signature);
    assert_eq!(checked, Err(Wrong::UnknownKey));
}

#[test]
fn a_key_id_chooses_and_who_names_none_is_tried_with_some() {
    let issuers: Vec<Issuer> = (0..6).map(|_| Issuer::ed25519()).collect();
    let named: Vec<String> = (0..6).map(|it| format!("k{it}")).collect();
    let written: Vec<_> = issuers
        .iter()
        .zip(&named)
        .map(|(it, id)| (it, id.as_str()))
        .collect();
    let (keys, _) = of_set(&set(&written), &every(), false).unwrap();
    for (index, issuer) in issuers.iter().enumerate() {
        let (text, signature) = signed(issuer, "EdDSA");
        let check =
            |id: Option<&str>| keys.check(Algorithm::EdDsa, id, text.as_bytes(), &signature);
        assert_eq!(check(Some(&named[index])), Ok(()));
        assert_eq!(check(Some(&named[(index + 1) % 6])), Err(Wrong::Signature));
        assert_eq!(check(Some("another")), Err(Wrong::UnknownKey));
        // Trying all of them would be work that anybody could make.
        let expected = if index < TRIED_MAXIMUM {
            Ok(())
        } else {
            Err(Wrong::Signature)
        };
        assert_eq!(check(None), expected);
    }
    // A key from a file has no id, and is meant for all.
    let (text, signature) = signed(&issuers[0], "EdDSA");
    let fixed = fixed(&issuers[0]);
    assert_eq!(
        fixed.check(Algorithm::EdDsa, Some("k"), text.as_bytes(), &signature),
        Ok(())
    );
}

#[test]
fn a_key_that_is_of_no_use_is_found_when_it_is_read() {
    let rsa = Issuer::rsa();
    let pem = |pem: &str, allowed: &[Algorithm]| Key::of_pem(pem.as_bytes(), allowed).err();
    assert_eq!(
        pem(&rsa.pem(), &[Algorithm::Es256]),
        Some(Unusable::NoAlgorithm)
    );
    assert_eq!(
        pem(&rsa.pem(), &[Algorithm::Hs256]),
        Some(Unusable::NoAlgorithm)
    );
    assert_eq!(pem("", &every()), Some(Unusable::NoPublicKey));
    let private = rcgen::KeyPair::generate().unwrap().serialize_pem();
    assert_eq!(pem(&private, &every()), Some(Unusable::NoPublicKey));
    let broken = rsa.pem().replacen("MII", "MIJ", 1);
    assert_eq!(pem(&broken, &every()), Some(Unusable::Kind));
    let secret = |secret: &[u8], allowed: &[Algorithm]| Key::of_secret(secret, allowed).err();
    assert_eq!(secret(b"guess me", &every()), Some(Unusable::ShortSecret));
    assert_eq!(
        secret(&[7; 32], &[Algorithm::Rs256]),
        Some(Unusable::NoAlgorithm)
    );
    assert_eq!(secret(&[7; 32], &every()), None);
    for json in ["", "[]", "{}", "{\"keys\": {}}"] {
        assert_eq!(
            of_set(json.as_bytes(), &every(), true).err(),
            Some(Unusable::NoSet),
            "{json}"
        );
    }
    let nothing = of_set(b"{\"keys\": []}", &every(), true).err();
    assert_eq!(nothing, Some(Unusable::NothingUsable));
}

#[test]
fn keys_for_something_else_are_passed_over() {
    let issuer = Issuer::rsa();
    let with = |name: &str, value: Value| {
        let mut jwk = issuer.jwk("k");
        jwk[name] = value;
        jwk
    };
    let short = URL_SAFE_NO_PAD.encode([0xff; 128]);
    let useless = [
        with("use", json!("enc")),
        with("key_ops", json!(["sign"])),
        with("alg", json!("RSA-OAEP")),
        with("alg", json!("none")),
        with("kty", json!("DSA")),
        with("n", json!("not base64")),
        // 1,024 bits.
        with("n", json!(short)),
        with("n", json!(null)),
        with("kid", json!(7)),
        json!("no object"),
        json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}),
        json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"}),
        json!({"kty": "oct", "k": "AAAA"}),
        // A secret that everybody can fetch is none.
        Issuer::secret().jwk("s"),
    ];
    for jwk in &useless {
        let set = json!({"keys": [jwk]}).to_string();
        let read = of_set(set.as_bytes(), &every(), false).err();
        assert_eq!(read, Some(Unusable::NothingUsable), "{jwk}");
        // One that is of no use does not spoil the others.
        let set = json!({"keys": [jwk, issuer.jwk("good")]}).to_string();
        let (keys, passed_over) = of_set(set.as_bytes(), &every(), false).unwrap();
        assert_eq!((keys.len(), passed_over), (1, 1), "{jwk}");
    }
}

#[test]
fn a_key_that_names_its_algorithm_is_for_no_other() {
    let issuer = Issuer::rsa();
    let mut jwk = issuer.jwk("k");
    jwk["alg"] = json!("PS256");
    let set = json!({ "keys": [jwk] }).to_string();
    let (keys, _) = of_set(set.as_bytes(), &every(), false).unwrap();
    let check = |name| {
        let (text, signature) = signed(&issuer, name);
        keys.check(
            Algorithm::named(name).unwrap(),
            Some("k"),
            text.as_bytes(),
            &signature,
        )
    };
    assert_eq!(check("PS256"), Ok(()));
    assert_eq!(check("RS256"), Err(Wrong::UnknownKey));
}

#[test]
fn a_set_has_a_bound() {
    let issuer = Issuer::ed25519();
    let ids: Vec<String> = (0..SET_MAXIMUM + 5).map(|it| it.to_string()).collect();
    let written: Vec<_> = ids.iter().map(|id| (&issuer, id.as_str())).collect();
    let (keys, passed_over) = of_set(&set(&written), &every(), false).unwrap();
    assert_eq!((keys.len(), passed_over), (SET_MAXIMUM, 5));
}

/// Prints what the module's comment claims, with `--nocapture`.
#[test]
fn checking_takes_little_time() {
    for (issuer, own) in issuers() {
        let keys = fixed(&issuer);
        let (text, signature) = signed(&issuer, own[0]);
        let algorithm = Algorithm::named(own[0]).unwrap();
        let times = 200;
        let begun = std::time::Instant::now();
        for _ in 0..times {
            keys.check(algorithm, None, text.as_bytes(), &signature)
                .unwrap();
        }
        println!("{}: {:?}", own[0], begun.elapsed() / times);
    }
}
