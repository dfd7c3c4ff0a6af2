use super::{Webhook, id};
use hmac::{Hmac, Mac};
use piper_plugin::{
    prelude::*,
    testing::{Answer, Fake, event},
    time::Timestamp,
};
use sha2::Sha256;
use std::time::Duration;
use test_case::test_case;

const URL: &str = "https://hooks.example/piper";
const POST: &str = "POST https://hooks.example/piper";

fn fake() -> Fake {
    let fake = Fake::new();
    fake.config(json!({"url": URL}));
    fake.secret("signing-key", "a key of some length");
    fake.now(Timestamp(1_700_000_000_123_456));
    fake
}

fn finished() -> Vec<Event> {
    vec![event(
        "build.finished",
        json!({"build": "bcdf", "project": "hello", "end": {"outcome": "failed"}}),
    )]
}

fn refused(fake: &Fake) -> Failure {
    let undelivered = fake.notify::<Webhook, _>(json!({}), finished()).unwrap();
    undelivered.into_iter().next().expect("it is refused").why
}

#[test]
fn a_delivery_has_the_three_headers_and_a_signature_over_all_of_it() {
    let fake = fake();
    fake.answer(POST, 204, "");
    let undelivered = fake.notify::<Webhook, _>(json!({}), finished()).unwrap();
    assert_eq!(undelivered, []);
    let request = &fake.requests()[0];
    assert_eq!(request.header("webhook-timestamp"), Some("1700000000"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    let id = request.header("webhook-id").unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(b"a key of some length").unwrap();
    mac.update(format!("{id}.1700000000.{}", request.text()).as_bytes());
    let signature = encode::base64(mac.finalize().into_bytes());
    assert_eq!(
        request.header("webhook-signature"),
        Some(&*format!("v1,{signature}"))
    );
}

#[test]
fn a_body_says_what_happened_when_and_to_what() {
    let fake = fake();
    fake.answer(POST, 200, "thanks");
    fake.notify::<Webhook, _>(json!({}), finished()).unwrap();
    let body = fake.requests()[0].json();
    assert_eq!(body["type"], "build.finished");
    assert_eq!(body["timestamp"], "1970-01-01T00:00:00.000000Z");
    assert_eq!(body["seq"], 1);
    assert_eq!(body["data"]["project"], "hello");
}

#[test]
fn the_id_is_the_same_for_every_delivery_of_an_event() {
    let fake = fake();
    fake.answer(POST, 500, "");
    fake.answer(POST, 200, "");
    fake.notify::<Webhook, _>(json!({}), finished()).unwrap();
    fake.now(Timestamp(1_700_000_060_000_000));
    fake.notify::<Webhook, _>(json!({}), finished()).unwrap();
    let requests = fake.requests();
    let header = |at: usize, name| requests[at].header(name).unwrap().to_owned();
    assert_eq!(header(0, "webhook-id"), header(1, "webhook-id"));
    assert_ne!(
        header(0, "webhook-signature"),
        header(1, "webhook-signature"),
        "each is signed with its own time"
    );
}

#[test_case("build.finished/b", "msg_build_2efinished_2fb")]
#[test_case("a_2eb", "msg_a_5f2eb"; "nothing else looks like it")]
#[test_case("é\r\n", "msg__c3_a9_0d_0a")]
fn ids_have_no_dots(event: &str, expected: &str) {
    assert_eq!(id(event), expected);
}

#[test_case(200, None)]
#[test_case(202, None)]
#[test_case(301, Some(FailureKind::Permanent))]
#[test_case(400, Some(FailureKind::Permanent))]
#[test_case(401, Some(FailureKind::Permanent))]
#[test_case(404, Some(FailureKind::Permanent))]
#[test_case(408, Some(FailureKind::Transient))]
#[test_case(410, Some(FailureKind::Permanent))]
#[test_case(429, Some(FailureKind::Transient))]
#[test_case(500, Some(FailureKind::Transient))]
#[test_case(501, Some(FailureKind::Permanent))]
#[test_case(503, Some(FailureKind::Transient))]
fn the_status_says_whether_it_is_worth_another_attempt(status: u16, expected: Option<FailureKind>) {
    let fake = fake();
    fake.answer(POST, status, "");
    let undelivered = fake.notify::<Webhook, _>(json!({}), finished()).unwrap();
    assert_eq!(undelivered.first().map(|one| one.why.kind), expected);
}

#[test]
fn a_receiver_says_how_long_to_wait() {
    let fake = fake();
    let answer = Answer {
        status: 429,
        headers: vec![("retry-after".into(), "7".into())],
        ..Answer::default()
    };
    fake.reply(POST, answer);
    assert_eq!(refused(&fake).retry_after, Some(Duration::from_secs(7)));
}

#[test]
fn a_receiver_that_is_gone_is_told_of() {
    let fake = fake();
    fake.answer(POST, 410, "");
    let failure = refused(&fake);
    assert_eq!(failure.code, "http.410");
    assert!(
        failure.details["help"]
            .as_str()
            .unwrap()
            .contains("take the rule away")
    );
}

#[test]
fn nothing_is_sent_unsigned() {
    let fake = Fake::new();
    fake.config(json!({"url": URL}));
    fake.answer(POST, 200, "");
    assert_eq!(refused(&fake).code, "policy.secret");
    assert_eq!(fake.requests(), []);
}
