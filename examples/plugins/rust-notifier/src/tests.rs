use super::Chat;
use piper_plugin::{
    prelude::*,
    testing::{Fake, event},
};

fn finished() -> Vec<Event> {
    let body = json!({"build": "bcdf", "project": "hello", "target": "test", "end": {"outcome": "failed"}});
    vec![event("build.finished", body)]
}

#[test]
fn tells_the_outcome() {
    let fake = Fake::new();
    fake.answer("POST https://chat.example/room", 200, "ok");
    fake.config(json!({"url": "https://chat.example/room"}));
    let undelivered = fake.notify::<Chat, _>(json!({}), finished()).unwrap();
    assert_eq!(undelivered, []);
    assert_eq!(fake.requests()[0].json()["text"], "hello test: failed");
}

#[test]
fn a_busy_chat_is_asked_again() {
    let fake = Fake::new();
    fake.answer("POST https://chat.example/room", 503, "busy");
    fake.config(json!({"url": "https://chat.example/room"}));
    let undelivered = fake.notify::<Chat, _>(json!({}), finished()).unwrap();
    assert!(undelivered[0].why.is_transient());
}
