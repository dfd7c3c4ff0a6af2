use super::{Chat, Service, dialect, message::Message};
use piper_plugin::{
    prelude::*,
    testing::{Answer, Fake, SecretUse, event},
};
use proptest::prelude::*;
use std::time::Duration;
use test_case::test_case;

const HOOK: &str = "https://chat.example/hooks";

fn failed() -> Value {
    json!({
        "build": "bcdfghjk", "project": "hello", "target": "test", "cell": {"rust": "1.80"},
        "url": "https://piper.example/builds/bcdfghjk",
        "revision": "0123456789abcdef0123456789abcdef01234567", "params": {"branch": "main", "token": "t"},
        "end": {"outcome": "failed", "reason": "step unit failed", "duration_us": 83_000_000},
        "failure": {"step": "unit", "log_tail": "1\n2\nit broke\n"},
    })
}

fn chat() -> Chat {
    Chat {
        params: Some(vec!["branch".into()]),
        log_lines: 2,
    }
}

fn message(kind: &str, body: Value) -> Message {
    Message::of(&event(kind, body), &chat()).expect("this kind is known")
}

fn fake(config: Value) -> Fake {
    let fake = Fake::new();
    fake.config(config);
    fake
}

fn tell(fake: &Fake) -> Option<Failure> {
    let events = vec![event("build.finished", failed())];
    let undelivered = fake
        .notify::<Chat, _>(json!({"params": ["branch"]}), events)
        .unwrap();
    undelivered.into_iter().next().map(|one| one.why)
}

#[test]
fn a_message_says_what_there_is_to_say() {
    let message = message("build.finished", failed());
    assert_eq!(message.headline, "hello test[rust=1.80] failed");
    let facts: Vec<_> = message
        .facts
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    assert_eq!(
        facts,
        [
            "build: bcdfghjk",
            "revision: 0123456789ab",
            "failed: unit",
            "reason: step unit failed",
            "took: 1 min 23 s",
            "branch: main"
        ]
    );
    assert_eq!(message.log, "2\nit broke");
}

#[test_case("build.started", Value::Null, Value::Null, "p t started")]
#[test_case("build.finished", json!("succeeded"), Value::Null, "p t succeeded")]
#[test_case("build.finished", json!("succeeded"), json!("failed"), "p t succeeded again")]
#[test_case("build.finished", json!("failed"), json!("succeeded"), "p t failed")]
#[test_case("build.finished", json!("failed"), json!("errored"), "p t is still failing")]
#[test_case("build.finished", json!("errored"), Value::Null, "p t errored")]
#[test_case("build.finished", json!("cancelled"), json!("failed"), "p t cancelled")]
fn a_headline_says_what_changed(kind: &str, outcome: Value, previous: Value, expected: &str) {
    let mut body = json!({"project": "p", "target": "t"});
    for (name, outcome) in [("end", outcome), ("previous", previous)] {
        if !outcome.is_null() {
            body[name] = json!({"outcome": outcome});
        }
    }
    assert_eq!(message(kind, body).headline, expected);
}

#[test]
fn kinds_that_are_not_known_are_told_nobody() {
    let fake = fake(json!({"service": "slack", "url": HOOK}));
    let events = vec![event("build.exploded", json!({}))];
    assert_eq!(fake.notify::<Chat, _>(json!({}), events).unwrap(), []);
    assert_eq!(fake.requests(), []);
}

#[test]
fn slack_gets_blocks() {
    let body = dialect::write(Service::Slack, &message("build.finished", failed()));
    let plain = |text: &str| json!({"type": "plain_text", "text": text, "emoji": false});
    let markup = |text: &str| json!({"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": true}});
    assert_eq!(
        body["blocks"][0],
        json!({"type": "header", "text": plain("hello test[rust=1.80] failed")})
    );
    assert_eq!(body["blocks"][1]["fields"][5], plain("branch: main"));
    assert_eq!(body["blocks"][2], markup("```\n2\nit broke\n```"));
    assert_eq!(
        body["blocks"][3],
        markup("<https://piper.example/builds/bcdfghjk|Open the build>")
    );
}

#[test]
fn mattermost_gets_markdown() {
    let body = dialect::write(Service::Mattermost, &message("build.finished", failed()));
    assert_eq!(
        body,
        json!({"text": "🔴 `hello test[rust=1.80] failed`\n`build`: `bcdfghjk`\n`revision`: `0123456789ab`\n`failed`: `unit`\n\
            `reason`: `step unit failed`\n`took`: `1 min 23 s`\n`branch`: `main`\n```\n2\nit broke\n```\n\
            [Open the build](<https://piper.example/builds/bcdfghjk>)\n"})
    );
}

#[test]
fn discord_gets_an_embed_that_mentions_nobody() {
    let body = dialect::write(Service::Discord, &message("build.finished", failed()));
    assert_eq!(body["allowed_mentions"], json!({"parse": []}));
    let description = body["embeds"][0]["description"].as_str().unwrap();
    assert!(description.starts_with("🔴 `hello test[rust=1.80] failed`\n"));
}

#[test]
fn teams_gets_an_adaptive_card() {
    let body = dialect::write(Service::Teams, &message("build.finished", failed()));
    let attachment = &body["attachments"][0];
    assert_eq!(
        attachment["contentType"],
        "application/vnd.microsoft.card.adaptive"
    );
    let card = &attachment["content"];
    assert_eq!(
        card["body"][0]["inlines"][0]["text"],
        "hello test[rust=1.80] failed"
    );
    assert_eq!(card["body"][0]["inlines"][0]["color"], "Attention");
    assert_eq!(
        card["actions"][0]["url"],
        "https://piper.example/builds/bcdfghjk"
    );
}

/// A message of which others wrote everything.
fn forged(text: &str) -> Message {
    message(
        "build.finished",
        json!({
            "build": text, "project": text, "target": text, "cell": {text: text}, "revision": text, "version": text, "url": text,
            "params": {"branch": text}, "end": {"outcome": text, "reason": text},
            "failure": {"step": text, "log_tail": format!("{text}\n{text}")},
        }),
    )
}

/// Markdown without its code; nothing of it comes from others.
fn without_code(markdown: &str) -> String {
    let parts: Vec<&str> = markdown.split("```").collect();
    assert!(
        matches!(parts.len(), 1 | 3),
        "one block of code, and it ends: {markdown}"
    );
    let outside = [parts[0], parts.get(2).copied().unwrap_or_default()].concat();
    let spans: Vec<&str> = outside.split('`').collect();
    assert!(spans.len() % 2 == 1, "every span ends: {markdown}");
    spans.into_iter().step_by(2).collect()
}

fn is_ours(markdown: &str) -> bool {
    let rest = markdown.replace(['🔴', '🟢', ' ', ':', '\n'], "");
    rest.is_empty() || rest.starts_with("[Openthebuild](<http")
}

fn check_forged(text: &str) {
    let message = forged(text);
    let slack = dialect::write(Service::Slack, &message);
    assert!(!slack["text"].as_str().unwrap().contains(['<', '>']));
    for block in slack["blocks"].as_array().unwrap() {
        let markup = block["text"]["text"].as_str().unwrap_or_default();
        if block["text"]["type"] == "mrkdwn" {
            assert!(markup.len() <= 3_000);
            let is_link = markup.starts_with("<http") && markup.ends_with("|Open the build>");
            assert!(is_link || !markup.contains(['<', '>']), "{markup}");
            assert!(is_link || markup.matches("```").count() == 2, "{markup}");
        }
    }
    let mattermost = dialect::write(Service::Mattermost, &message);
    let discord = dialect::write(Service::Discord, &message);
    for markdown in [&mattermost["text"], &discord["embeds"][0]["description"]] {
        let markdown = markdown.as_str().unwrap();
        assert!(markdown.encode_utf16().count() <= 4_096);
        assert!(is_ours(&without_code(markdown)), "{markdown}");
    }
    let teams = dialect::write(Service::Teams, &message).to_string();
    assert!(teams.len() < 28_000);
    assert!(
        !teams.contains("TextBlock\"")
            || teams.matches("TextBlock\"").count() == teams.matches("RichTextBlock\"").count()
    );
}

#[test_case("<!channel> <@U123> <https://evil.example|here>"; "slack")]
#[test_case("@all @channel [here](https://evil.example) ![](https://evil.example/x.png) #tag :bomb:"; "markdown")]
#[test_case("` @all `"; "out of a span")]
#[test_case("\n```\n@all [here](https://evil.example)\n```"; "out of a block")]
#[test_case("````````"; "backticks")]
#[test_case("`"; "one backtick")]
#[test_case("\\` @all"; "a backslash")]
#[test_case("<at>everybody</at>"; "teams")]
#[test_case("https://x.example/)>|<!here>"; "an address that is none")]
#[test_case("javascript:alert(1)"; "no address of the web")]
fn names_forge_no_mention_and_no_link(text: &str) {
    check_forged(text);
}

#[test]
fn nothing_turns_the_direction_of_writing() {
    let message = forged("a\u{202e}b\u{200b}c\u{1b}[31m\r");
    assert!(message.headline.contains("abc[31m"));
}

proptest! {
    #[test]
    fn no_text_forges_anything(text in "[`<>@!|\\[\\]()\\\\~*_:#/.a-z\n]{0,80}|\\PC{0,80}") {
        check_forged(&text);
    }

    #[test]
    fn long_texts_fit(text in "[&<é😀]{500,3000}") {
        check_forged(&text);
    }
}

#[test]
fn an_address_may_be_whole_already() {
    let fake = fake(json!({"service": "slack", "url": HOOK}));
    fake.answer("POST https://chat.example/hooks", 200, "ok");
    assert_eq!(tell(&fake), None);
    assert_eq!(fake.requests()[0].url, HOOK);
}

#[test]
fn the_end_of_an_address_may_be_a_secret() {
    let fake = fake(json!({"service": "slack", "url": "https://chat.example/hooks/"}));
    fake.secret_for("hook", "T000/B000/XXXX", &[SecretUse::Path]);
    fake.answer("POST https://chat.example/hooks/T000/B000/XXXX", 200, "ok");
    assert_eq!(tell(&fake), None);
}

#[test]
fn a_secret_that_is_for_something_else_is_no_address_without_one() {
    let fake = fake(json!({"service": "slack", "url": HOOK}));
    fake.secret_for("hook", "T000/B000/XXXX", &[SecretUse::Reveal]);
    fake.answer("POST https://chat.example/hooks", 200, "ok");
    assert_eq!(tell(&fake).unwrap().code, "policy.secret-use");
    assert_eq!(fake.requests(), []);
}

#[test]
fn teams_has_something_behind_the_address() {
    let config = json!({"service": "teams", "url": HOOK, "query": "api-version=1&sig=x"});
    let fake = fake(config);
    fake.answer(
        "POST https://chat.example/hooks?api-version=1&sig=x",
        202,
        "",
    );
    assert_eq!(tell(&fake), None);
}

#[test_case(404, FailureKind::Permanent, true)]
#[test_case(410, FailureKind::Permanent, true)]
#[test_case(400, FailureKind::Permanent, false)]
#[test_case(500, FailureKind::Transient, false)]
fn a_refusal_says_what_to_do(status: u16, kind: FailureKind, has_help: bool) {
    let fake = fake(json!({"service": "discord", "url": HOOK}));
    fake.answer("POST https://chat.example/hooks", status, "no_service");
    let failure = tell(&fake).unwrap();
    assert_eq!(failure.kind, kind);
    assert_eq!(failure.details.contains_key("help"), has_help);
}

#[test]
fn a_busy_chat_says_how_long_to_wait() {
    let fake = fake(json!({"service": "discord", "url": HOOK}));
    let headers = vec![("retry-after".into(), "3".into())];
    fake.reply(
        "POST https://chat.example/hooks",
        Answer {
            status: 429,
            headers,
            body: Vec::new(),
        },
    );
    assert_eq!(
        tell(&fake).unwrap().retry_after,
        Some(Duration::from_secs(3))
    );
}

#[test]
fn a_service_that_is_not_known_is_a_mistake() {
    let fake = fake(json!({"service": "irc", "url": HOOK}));
    let failure = fake.notify::<Chat, _>(json!({}), vec![]).unwrap_err();
    assert_eq!(failure.details["path"], "/config/service");
}
