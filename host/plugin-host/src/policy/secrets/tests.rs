use super::*;
use crate::policy::grant::{ExtraUses, SecretGrant, SecretSource};
use piper_core::log::mask::MaskState;
use proptest::prelude::*;
use test_case::test_case;

const VALUE: &str = "s3cr3t/with \"quotes\"";
const HOME: &str = "https://api.example.com";
const DIGITS: &str = "0123456789abcdef0123456789abcdef";
const RANDOM: u128 = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;

fn uses(words: &[&str]) -> SecretUse {
    let has = |word| words.contains(&word);
    SecretUse {
        headers: words
            .iter()
            .filter_map(|word| word.strip_prefix("header "))
            .map(str::to_owned)
            .collect(),
        path: has("path"),
        body: has("body"),
        hmac: has("hmac"),
        sign: has("sign"),
        verify: has("verify"),
        reveal: has("reveal"),
    }
}

fn effective(words: &[&str], strip: Option<&str>, decode: Option<Encoding>) -> EffectiveSecret {
    EffectiveSecret {
        grant: SecretGrant {
            from: SecretSource::Env("KEY".to_owned()),
            to: vec![Origin::parse(HOME).unwrap()],
            uses: ExtraUses::default(),
            strip: strip.map(str::to_owned),
            decode,
        },
        uses: uses(words),
    }
}

fn secrets_of(value: &[u8], words: &[&str]) -> Secrets {
    let bound = Bound::new("key", &effective(words, None, None), value).unwrap();
    Secrets::new([("key".to_owned(), bound)].into())
}

fn secrets(words: &[&str]) -> Secrets {
    secrets_of(VALUE.as_bytes(), words)
}

/// Sends a header, a path or a body, and returns all that is sent.
fn send(
    secrets: &Secrets,
    to: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<String, SecretError> {
    let headers: Vec<(&str, &[u8])> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()))
        .collect();
    let sent = secrets.substitute(&Outgoing {
        origin: &Origin::parse(to).unwrap(),
        path_and_query: path,
        headers: &headers,
        body: Some(body.as_bytes()),
    })?;
    let mut text = sent.path_and_query;
    for value in sent.headers {
        text.push('\n');
        text.push_str(str::from_utf8(&value).unwrap());
    }
    text.push('\n');
    text.push_str(str::from_utf8(sent.body.as_deref().unwrap_or(body.as_bytes())).unwrap());
    Ok(text)
}

#[test]
fn a_placeholder_becomes_the_value_in_its_header_towards_its_origin() {
    let mut secrets = secrets(&["header authorization"]);
    let key = secrets.placeholder("key", RANDOM).unwrap();
    assert_eq!(key, format!("piper-secret-{DIGITS}"));
    let bearer = format!("Bearer {key}");
    let sent = send(
        &secrets,
        HOME,
        "/a?b",
        &[("Authorization", &bearer), ("x", "y")],
        "z",
    )
    .unwrap();
    assert_eq!(sent, format!("/a?b\nBearer {VALUE}\ny\nz"));
    let elsewhere = send(
        &secrets,
        "https://evil.example",
        "/",
        &[("authorization", &bearer)],
        "",
    );
    assert!(matches!(elsewhere, Err(SecretError::Audience { .. })));
    for near in [
        "http://api.example.com",
        "https://api.example.com:8443",
        "https://x.api.example.com",
    ] {
        assert!(
            send(&secrets, near, "/", &[("authorization", &bearer)], "").is_err(),
            "{near}"
        );
    }
    let other_header = send(&secrets, HOME, "/", &[("x-key", &key)], "");
    assert!(matches!(other_header, Err(SecretError::NotForThis { .. })));
}

#[test]
fn a_placeholder_of_another_instance_is_worthless() {
    let mut other = secrets(&["header authorization"]);
    let key = other.placeholder("key", RANDOM).unwrap();
    let own = secrets(&["header authorization"]);
    assert_eq!(
        send(&own, HOME, "/", &[("authorization", &key)], ""),
        Err(SecretError::Unknown("a header"))
    );
}

#[test]
fn a_value_in_a_path_or_a_body_is_written_as_its_place_needs() {
    let mut secrets = secrets(&["path", "body"]);
    let key = secrets.placeholder("key", RANDOM).unwrap();
    assert_eq!(
        send(&secrets, HOME, &format!("/services/{key}/x"), &[], "").unwrap(),
        "/services/s3cr3t/with%20%22quotes%22/x\n"
    );
    let json = [("content-type", "application/json; charset=utf-8")];
    let sent = send(
        &secrets,
        HOME,
        "/",
        &json,
        &format!("{{\"token\":\"{key}\"}}"),
    )
    .unwrap();
    assert!(
        sent.ends_with("{\"token\":\"s3cr3t/with \\\"quotes\\\"\"}"),
        "{sent}"
    );
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let sent = send(&secrets, HOME, "/", &form, &format!("token={key}&a=b")).unwrap();
    assert!(
        sent.ends_with("token=s3cr3t%2Fwith%20%22quotes%22&a=b"),
        "{sent}"
    );
    let other = [("content-type", "text/plain")];
    assert!(matches!(
        send(&secrets, HOME, "/", &other, &key),
        Err(SecretError::Misplaced(_))
    ));
    let large = format!("\"{key}{}\"", " ".repeat(1 << 20));
    assert!(matches!(
        send(&secrets, HOME, "/", &json, &large),
        Err(SecretError::Misplaced(_))
    ));
}

#[test]
fn a_value_cannot_lead_out_of_its_place() {
    let mut up = secrets_of(b"a/../b", &["path"]);
    let key = up.placeholder("key", RANDOM).unwrap();
    assert!(matches!(
        send(&up, HOME, &format!("/{key}"), &[], ""),
        Err(SecretError::Malformed { .. })
    ));
    let mut lines = secrets_of(b"a\r\nhost: evil", &["header x"]);
    let key = lines.placeholder("key", RANDOM).unwrap();
    assert!(matches!(
        send(&lines, HOME, "/", &[("x", &key)], ""),
        Err(SecretError::Malformed { .. })
    ));
}

#[test_case("piper-secret-"; "the beginning alone")]
#[test_case("PIPER-SECRET-0123"; "in capitals")]
#[test_case("piper-secret-0123456789abcdef0123456789abcde"; "without its last digit")]
#[test_case("0123456789abcdef"; "half of its digits")]
#[test_case("x89abcdef0123456789abcdefx"; "digits in the middle")]
#[test_case("0123456789ABCDEF"; "digits in capitals")]
#[test_case("piper%2Dsecret%2d0123"; "percent encoded")]
#[test_case("%70%69%70%65%72%2d%73%65%63%72%65%74%2d"; "percent encoded as a whole")]
#[test_case("piper%25252dsecret%25252d"; "percent encoded three times")]
#[test_case("cGlwZXItc2VjcmV0LTAx"; "base64")]
#[test_case("eHBpcGVyLXNlY3JldC0wMQ=="; "base64 at the second place")]
#[test_case("eHhwaXBlci1zZWNyZXQtMDE="; "base64 at the third place")]
#[test_case("cGlwZXItc2VjcmV0LTAx%3D"; "base64 and percent encoded")]
#[test_case("70697065722d7365637265742d30"; "hex")]
#[test_case("MDEyMzQ1Njc4OWFiY2RlZg=="; "digits in base64")]
fn what_is_left_of_a_placeholder_is_refused_everywhere(trace: &str) {
    let mut secrets = secrets(&["header authorization", "path", "body"]);
    let key = secrets.placeholder("key", RANDOM).unwrap();
    let json = ("content-type", "application/json");
    let misplaced = |sent: Result<String, SecretError>| {
        assert!(matches!(sent, Err(SecretError::Misplaced(_))), "{sent:?}")
    };
    misplaced(send(&secrets, HOME, &format!("/{trace}"), &[], ""));
    misplaced(send(&secrets, HOME, &format!("/?a={trace}"), &[], ""));
    misplaced(send(&secrets, HOME, "/", &[("x", trace)], ""));
    misplaced(send(
        &secrets,
        HOME,
        "/",
        &[("authorization", &format!("{key} {trace}"))],
        "",
    ));
    misplaced(send(&secrets, HOME, "/", &[(trace, "x")], ""));
    misplaced(send(&secrets, HOME, "/", &[json], trace));
    misplaced(send(&secrets, HOME, "/", &[], trace));
}

#[test]
fn a_placeholder_is_refused_in_the_query_and_in_the_user_agent() {
    let mut secrets = secrets(&["header authorization", "path", "body"]);
    let key = secrets.placeholder("key", RANDOM).unwrap();
    assert_eq!(
        send(&secrets, HOME, &format!("/?{key}"), &[], ""),
        Err(SecretError::Misplaced("the query"))
    );
    assert!(send(&secrets, HOME, "/", &[("user-agent", &key)], "").is_err());
    // What stood on both sides of a placeholder was never together.
    let split = format!("piper-{key}secret-");
    assert!(send(&secrets, HOME, "/", &[("authorization", &split)], "").is_ok());
}

#[test]
fn basic_stands_for_a_whole_header() {
    let mut secrets = secrets_of(b"open sesame", &["header authorization"]);
    let basic = secrets.basic("Aladdin", "key", RANDOM).unwrap();
    let sent = send(&secrets, HOME, "/", &[("authorization", &basic)], "").unwrap();
    assert_eq!(
        sent, "/\nBasic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\n",
        "the example of RFC 7617, nearly"
    );
    let beside = format!("Basic {basic}");
    assert!(matches!(
        send(&secrets, HOME, "/", &[("authorization", &beside)], ""),
        Err(SecretError::NotForThis { .. })
    ));
    assert!(secrets.basic("a:b", "key", 1).is_err());
    assert!(
        secrets_of(b"x", &["header x-key"])
            .basic("a", "key", 1)
            .is_err()
    );
}

#[test]
fn an_adopted_token_is_masked_and_goes_home_only() {
    let mut secrets = Secrets::new(BTreeMap::new());
    let token = secrets.adopt("fresh-token-value", HOME, RANDOM).unwrap();
    let sent = send(&secrets, HOME, "/", &[("x-token", &token)], "").unwrap();
    assert_eq!(sent, "/\nfresh-token-value\n");
    assert!(
        send(
            &secrets,
            "https://evil.example",
            "/",
            &[("x-token", &token)],
            ""
        )
        .is_err()
    );
    assert!(
        send(&secrets, HOME, &format!("/{token}"), &[], "").is_err(),
        "headers only"
    );
    let (masker, _) = secrets.masker();
    let mut out = Vec::new();
    let mut state = MaskState::default();
    masker.push(&mut state, b"got fresh-token-value", &mut out);
    masker.finish(&mut state, &mut out);
    assert_eq!(out, b"got ***");
    assert!(secrets.adopt("a\nb", HOME, 1).is_err());
    assert!(secrets.adopt("a", "https://example.com/path", 1).is_err());
}

#[test]
fn adopted_tokens_are_hidden_however_many_there_are_and_cost_only_so_much() {
    let mut secrets = Secrets::new(BTreeMap::new());
    let token = |letter: &str| letter.repeat(15 * 1024);
    for (random, value) in ["first-token", &token("a"), &token("b")].iter().enumerate() {
        secrets.adopt(value, HOME, random as u128).unwrap();
    }
    assert!(secrets.adopt(&token("c"), HOME, 3).is_err());
    secrets.adopt(&token("b"), HOME, 4).unwrap();
    let (masker, _) = secrets.masker();
    let hidden = |text: &str| masker.text(text.to_owned());
    assert_eq!(hidden("first-token"), "***");
    assert_eq!(hidden("Zmlyc3QtdG9rZW4="), "***", "in base64");
    assert_eq!(hidden(&format!("x{}", token("b"))), "x***");
}

#[test]
fn every_value_is_masked_and_a_short_one_is_told() {
    let bound = |value: &[u8]| Bound::new("x", &effective(&["hmac"], None, None), value).unwrap();
    let secrets = Secrets::new(
        [
            ("long".to_owned(), bound(b"long-enough")),
            ("short".to_owned(), bound(b"abc")),
        ]
        .into(),
    );
    let (masker, too_short) = secrets.masker();
    assert!(!masker.is_empty());
    assert_eq!(too_short.len(), 1);
    assert_eq!(too_short[0].name, "short");
}

#[test]
fn nothing_prints_a_value() {
    let mut secrets = secrets(&["header x", "reveal"]);
    let key = secrets.placeholder("key", RANDOM).unwrap();
    let sent = secrets
        .substitute(&Outgoing {
            origin: &Origin::parse(HOME).unwrap(),
            path_and_query: "/",
            headers: &[("x", key.as_bytes())],
            body: None,
        })
        .unwrap();
    assert!(!format!("{secrets:?} {:?} {sent:?}", secrets.bound["key"]).contains("s3cr3t"));
}

#[test_case(b"value\n", None, None, b"value"; "a line end")]
#[test_case(b"whsec_dmFsdWU=", Some("whsec_"), Some(Encoding::Base64), b"value"; "stripped and base64")]
#[test_case(b"76616C7565\r\n", None, Some(Encoding::Hex), b"value"; "hex")]
#[test_case(b"-_8", None, Some(Encoding::Base64), b"\xfb\xff"; "base64 for urls")]
fn a_value_is_made_of_what_the_source_holds(
    held: &[u8],
    strip: Option<&str>,
    decode: Option<Encoding>,
    expected: &[u8],
) {
    let bound = Bound::new("key", &effective(&["hmac"], strip, decode), held).unwrap();
    assert_eq!(bound.value, expected);
}

#[test_case(b"\n", None, None, "secret.unset"; "empty")]
#[test_case(b"whsec_", Some("whsec_"), None, "secret.unset"; "nothing behind what is stripped")]
#[test_case(b"\n", Some("whsec_"), None, "secret.unset"; "nothing to strip from")]
#[test_case(b"value", Some("whsec_"), None, "secret.malformed"; "another beginning")]
#[test_case(b"xyz", None, Some(Encoding::Hex), "secret.malformed"; "not hex")]
#[test_case(b"a", None, Some(Encoding::Base64), "secret.malformed"; "not base64")]
#[test_case(b"ab=", None, Some(Encoding::Base64), "secret.malformed"; "wrong padding")]
#[test_case(b"ab!d", None, Some(Encoding::Base64), "secret.malformed"; "another letter")]
fn a_source_that_holds_something_else_is_refused(
    held: &[u8],
    strip: Option<&str>,
    decode: Option<Encoding>,
    code: &str,
) {
    let error = Bound::new("key", &effective(&["hmac"], strip, decode), held).unwrap_err();
    assert_eq!(error.code(), code);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

// The second test case of RFC 2202 and of RFC 4231.
#[test_case("sha1", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79")]
#[test_case(
    "sha256",
    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
)]
#[test_case(
    "sha512",
    "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
)]
fn an_hmac_is_that_of_the_rfc(algorithm: &str, expected: &str) {
    let secrets = secrets_of(b"Jefe", &["hmac", "verify"]);
    let message = b"what do ya want for nothing?";
    let tag = secrets.hmac("key", algorithm, "", &[message]).unwrap();
    assert_eq!(hex(&tag), expected);
    assert_eq!(
        secrets.verify_hmac("key", algorithm, message, &tag),
        Ok(true)
    );
    assert_eq!(
        secrets.verify_hmac("key", algorithm, b"else", &tag),
        Ok(false)
    );
    assert_eq!(
        secrets.verify_hmac("key", algorithm, message, &tag[1..]),
        Ok(false)
    );
    assert_eq!(
        secrets.verify_hmac("key", algorithm, message, b""),
        Ok(false)
    );
}

/// The example of AWS's documentation.
#[test]
fn a_chain_of_hmacs_derives_the_signing_key_of_sigv4() {
    let secrets = secrets_of(b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", &["hmac"]);
    let key = secrets
        .hmac(
            "key",
            "sha256",
            "AWS4",
            &["20150830", "us-east-1", "iam", "aws4_request"],
        )
        .unwrap();
    assert_eq!(
        hex(&key),
        "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
    );
}

#[test]
fn a_chain_without_messages_would_be_the_secret() {
    let secrets = secrets_of(b"value", &["hmac"]);
    assert!(matches!(
        secrets.hmac::<&str>("key", "sha256", "", &[]),
        Err(SecretError::Invalid(_))
    ));
    assert!(matches!(
        secrets.hmac("key", "md5", "", &["a"]),
        Err(SecretError::Invalid(_))
    ));
}

#[test]
fn each_use_needs_its_own_grant() {
    let mut none = secrets(&["sign"]);
    assert_eq!(none.placeholder("key", 1).unwrap_err().code(), SECRET_USE);
    assert_eq!(none.basic("a", "key", 1).unwrap_err().code(), SECRET_USE);
    assert_eq!(
        none.hmac("key", "sha256", "", &["a"]).unwrap_err().code(),
        SECRET_USE
    );
    assert_eq!(
        none.verify_hmac("key", "sha256", b"", b"")
            .unwrap_err()
            .code(),
        SECRET_USE
    );
    assert_eq!(none.equals("key", b"").unwrap_err().code(), SECRET_USE);
    assert_eq!(none.reveal("key").unwrap_err().code(), SECRET_USE);
    assert_eq!(
        none.reveal("other").unwrap_err(),
        SecretError::NotGranted("`other`".to_owned())
    );
    assert_eq!(secrets(&["reveal"]).reveal("key"), Ok(VALUE.to_owned()));
    let verify = secrets(&["verify"]);
    assert_eq!(verify.equals("key", VALUE.as_bytes()), Ok(true));
    assert_eq!(verify.equals("key", &VALUE.as_bytes()[1..]), Ok(false));
}

#[test]
fn an_instance_cannot_have_placeholders_without_end() {
    let mut secrets = secrets(&["path"]);
    for random in 0..MOST_PLACEHOLDERS as u128 {
        secrets.placeholder("key", random << 64).unwrap();
    }
    assert!(matches!(
        secrets.placeholder("key", 1),
        Err(SecretError::Invalid(_))
    ));
}

proptest! {
    #[test]
    fn no_value_leaves_but_towards_its_origin(
        to in proptest::sample::select(vec![HOME, "https://evil.example", "http://api.example.com"]),
        header in proptest::sample::select(vec!["authorization", "x", "content-type"]),
        before in "\\PC{0,4}|piper-secret-",
        after in "[0-9a-f-]{0,4}",
        in_path in any::<bool>(),
        in_body in any::<bool>(),
    ) {
        let mut secrets = secrets(&["header authorization"]);
        let key = secrets.placeholder("key", RANDOM).unwrap();
        let text = format!("{before}{key}{after}");
        let path = if in_path { format!("/{text}") } else { "/".to_owned() };
        let body = if in_body { text.clone() } else { String::new() };
        let sent = send(&secrets, to, &path, &[(header, &text)], &body);
        if let Ok(sent) = sent {
            prop_assert!(to == HOME && header == "authorization" && !in_path && !in_body);
            prop_assert_eq!(sent, format!("/\n{before}{VALUE}{after}\n"));
        } else if !in_path && !in_body && before != "piper-secret-" {
            prop_assert!(to != HOME || header != "authorization");
        }
    }

    #[test]
    fn a_request_without_placeholders_is_sent_as_it_is(path in "/[ -~]{0,20}", value in "[ -~]{0,40}", body in "\\PC{0,40}") {
        let mut secrets = secrets(&["header authorization"]);
        secrets.placeholder("key", RANDOM).unwrap();
        let sent = send(&secrets, HOME, &path, &[("x", &value), ("content-type", "application/json")], &body);
        prop_assert_eq!(sent, Ok(format!("{path}\n{value}\napplication/json\n{body}")));
    }

    #[test]
    fn a_placeholder_is_found_in_base64_wherever_it_stands(before in any::<Vec<u8>>(), after in any::<Vec<u8>>(), random in any::<u128>()) {
        let mut secrets = secrets(&["path"]);
        let key = secrets.placeholder("key", random).unwrap();
        let encoded = keys::to_base64(&[&before[..], key.as_bytes(), &after].concat());
        prop_assert!(secrets.has_trace(encoded.as_bytes()));
        let digits = &key[PREFIX.len()..];
        let encoded = keys::to_base64(&[&before[..], digits.as_bytes(), &after].concat());
        prop_assert!(secrets.has_trace(encoded.replace('+', "-").replace('/', "_").as_bytes()));
    }

    #[test]
    fn base64_reads_back(bytes in any::<Vec<u8>>()) {
        let text = keys::to_base64(&bytes);
        prop_assert_eq!(keys::from_base64(text.as_bytes()), Some(bytes.clone()));
        prop_assert_eq!(keys::from_base64(text.trim_end_matches('=').as_bytes()), Some(bytes));
    }
}
