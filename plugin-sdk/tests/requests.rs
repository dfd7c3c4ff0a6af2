//! The fake judges requests as the host does, which has a test of the same cases.

use piper_plugin::{
    Failure, http, secrets,
    testing::{Fake, SecretUse},
};
use serde_json::Value;

const CASES: &str = include_str!("requests.json");
const ORIGIN: &str = "https://example.com";

/// What a placeholder's name in a case stands for.
const SECRETS: [(&str, &str, SecretUse); 6] = [
    ("header", "hunter2-hunter2", SecretUse::Header("x-token")),
    (
        "login",
        "hunter2-hunter2",
        SecretUse::Header("authorization"),
    ),
    ("path", "T0/B 0/x?", SecretUse::Path),
    ("dots", "T0/../..", SecretUse::Path),
    ("body", "quote \" and & and é", SecretUse::Body),
    ("computed", "hunter2-hunter2", SecretUse::Hmac),
];

/// A text of a case with placeholders.
fn filled(text: &str) -> Result<String, Failure> {
    let mut text = text.replace("{origin}", ORIGIN);
    for name in ["header", "path", "dots", "body", "computed", "absent"] {
        let mark = format!("{{{name}}}");
        if text.contains(&mark) {
            text = text.replace(&mark, &secrets::placeholder(name)?);
        }
    }
    if text.contains("{basic}") {
        text = text.replace("{basic}", &secrets::basic("me", "login")?);
    }
    if text.contains("{adopted}") {
        let token = secrets::adopt("fresh-token", "https://elsewhere.example")?;
        text = text.replace("{adopted}", &token);
    }
    Ok(text)
}

fn send(case: &Value) -> Result<(), Failure> {
    let text = |name: &str, default| case[name].as_str().unwrap_or(default);
    let url = filled(text("url", "{origin}/hooks"))?;
    let mut request = http::Request::new(text("method", "POST"), url);
    for header in case["headers"].as_array().into_iter().flatten() {
        let [name, value] = [0, 1].map(|at| header[at].as_str().unwrap_or_default());
        request = request.header(name, filled(value)?);
    }
    if let Some(body) = case["body"].as_str() {
        request = request.text(filled(body)?);
    }
    request.send().map(drop)
}

#[test]
fn the_fake_judges_requests_as_the_host_does() {
    let cases: Vec<Value> = serde_json::from_str(CASES).expect("the cases are JSON");
    for case in cases {
        let why = case["why"].as_str().expect("a case says why");
        let fake = Fake::new();
        for (name, value, granted) in SECRETS {
            fake.secret_for(name, value, &[granted]);
        }
        let expected = &case["arrives"];
        let (method, target) = expected["line"]
            .as_str()
            .and_then(|line| line.split_once(' '))
            .unwrap_or(("POST", "/hooks"));
        let arrives = format!("{method} {ORIGIN}{target}");
        fake.answer(&arrives, 204, "");
        let code = send(&case).err().map(|failure| failure.code);
        assert_eq!(code.as_deref(), case["code"].as_str(), "{why}");
        let Some(request) = fake.requests().pop() else {
            assert!(expected.is_null(), "{why}: it did not arrive");
            continue;
        };
        assert_eq!(
            format!("{} {}", request.method, request.url),
            arrives,
            "{why}"
        );
        for (name, value) in expected["headers"].as_object().into_iter().flatten() {
            assert_eq!(request.header(name), value.as_str(), "{why}");
        }
        if let Some(body) = expected["body"].as_str() {
            assert_eq!(request.text(), body, "{why}");
        }
    }
}
