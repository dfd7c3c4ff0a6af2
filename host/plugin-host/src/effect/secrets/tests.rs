//! Secrets from their sources, and signatures that others can check.

use super::*;
use crate::effect::tests::effective;
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, KeyPair, UnparsedPublicKey};
use test_case::test_case;

const ASKS: &str = "[[permission.secret]]\nname = \"key\"\nuse = { sign = true }\nwhy = \"sign\"\n\
    [[permission.secret]]\nname = \"token\"\nuse = { header = \"authorization\" }\nwhy = \"log in\"\n";

/// Secrets whose key is in a file and whose token is in a variable.
fn held(key: &[u8], token: Option<&str>) -> Held {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, key).unwrap();
    let granted = format!(
        "secrets.key = {{ from = \"file:{}\", to = [] }}\n\
        secrets.token = {{ from = \"env:TOKEN\", to = [\"https://a.test\"] }}",
        path.display()
    );
    let variable = |name: &str| token.filter(|_| name == "TOKEN").map(str::to_owned);
    Held::new(&Values::read(&effective(ASKS, &granted), variable))
}

fn pem(pkcs8: &[u8]) -> String {
    let body = crate::policy::secrets::to_base64(pkcs8);
    format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")
}

#[test]
fn what_is_to_be_hidden_is_each_secret_that_has_a_value() {
    let granted = "secrets.key = { from = \"env:KEY\", to = [] }\n\
        secrets.token = { from = \"env:TOKEN\", to = [\"https://a.test\"] }";
    let variable = |name: &str| (name == "TOKEN").then(|| "value-of-it\n".to_owned());
    let values = Values::read(&effective(ASKS, granted), variable);
    let to_hide: Vec<_> = values.to_hide().collect();
    assert_eq!(to_hide, [("token", b"value-of-it".as_slice())]);
}

#[tokio::test]
async fn a_signature_is_one_that_others_take() {
    let chance = SystemRandom::new();
    let kind = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    let key = EcdsaKeyPair::generate_pkcs8(kind, &chance).unwrap();
    let public = EcdsaKeyPair::from_pkcs8(kind, key.as_ref(), &chance).unwrap();
    let secrets = held(pem(key.as_ref()).as_bytes(), None);
    let signed = secrets
        .sign("key".into(), "ES256".into(), b"message".to_vec())
        .await
        .unwrap();
    assert_eq!(
        signed.len(),
        64,
        "as tokens want it, not as certificates do"
    );
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public.public_key())
        .verify(b"message", &signed)
        .unwrap();

    let key = Ed25519KeyPair::generate_pkcs8(&chance).unwrap();
    let public = Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap();
    let secrets = held(pem(key.as_ref()).as_bytes(), None);
    let signed = secrets
        .sign("key".into(), "EdDSA".into(), b"message".to_vec())
        .await
        .unwrap();
    UnparsedPublicKey::new(&ED25519, public.public_key())
        .verify(b"message", &signed)
        .unwrap();
    let other = secrets
        .sign("key".into(), "RS256".into(), b"message".to_vec())
        .await
        .unwrap_err();
    assert_eq!(
        (other.kind, other.code.as_str()),
        (FailureKind::Invalid, "secret.malformed")
    );
    let none = secrets
        .sign("key".into(), "HS256".into(), b"message".to_vec())
        .await
        .unwrap_err();
    assert_eq!(none.code, "secret.invalid");
    let denied = secrets
        .sign("token".into(), "EdDSA".into(), Vec::new())
        .await
        .unwrap_err();
    assert_eq!(denied.code, "secret.unset", "it has no value here");
}

#[test_case(b"", "secret.unset"; "an empty file")]
#[test_case(b"no key", "secret.malformed"; "something else")]
#[tokio::test]
async fn what_is_no_key_signs_nothing(key: &[u8], expected: &str) {
    let signed = held(key, None)
        .sign("key".into(), "EdDSA".into(), Vec::new())
        .await;
    assert_eq!(signed.unwrap_err().code, expected);
}

#[tokio::test]
async fn placeholders_are_of_one_instance() {
    let (one, other) = (
        held(b"k", Some("value-of-it")),
        held(b"k", Some("value-of-it")),
    );
    let first = one.placeholder("token".into()).await.unwrap();
    assert_ne!(first, one.placeholder("token".into()).await.unwrap());
    assert_ne!(first, other.placeholder("token".into()).await.unwrap());
    assert!(one.has_trace(first.as_bytes()));
    let denied = one.placeholder("key".into()).await.unwrap_err();
    assert_eq!(
        (denied.kind, denied.code.as_str()),
        (FailureKind::Denied, "policy.secret-use")
    );
    let unknown = one.reveal("other".into()).await.unwrap_err();
    assert_eq!(unknown.code, "policy.secret");
    let hidden = one.masker().text("a value-of-it b".into());
    assert_eq!(hidden, "a *** b");
}
