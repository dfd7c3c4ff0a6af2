//! This host judges requests as the SDK's fake does, which has a test of the same cases.

use crate::{kit::Granted, server::Server};
use piper_plugin_host::{
    Failure,
    effect::Surroundings,
    service::{HttpBody, HttpRequest, Services},
};
use serde_json::Value;

const CASES: &str = include_str!("../../../../plugin-sdk/tests/requests.json");

/// What a placeholder's name in a case stands for: its value, its use in the manifest, and what the grant adds to that.
const SECRETS: [(&str, &str, &str, &str); 6] = [
    ("header", "hunter2-hunter2", "header = \"x-token\"", ""),
    ("login", "hunter2-hunter2", "header = \"authorization\"", ""),
    ("path", "T0/B 0/x?", "path = true", "\"path\""),
    ("dots", "T0/../..", "path = true", "\"path\""),
    ("body", "quote \" and & and é", "body = true", "\"body\""),
    ("computed", "hunter2-hunter2", "hmac = true", ""),
];

/// An instance's effects; everything goes to one server.
fn services(origin: &str) -> Services {
    let mut manifest = "manifest = 1\nname = \"sender\"\nversion = \"1.0.0\"\n[[notifier]]\n\
        [[permission.http]]\nto = \"GET,POST {config.url}\"\nwhy = \"send\"\n"
        .to_owned();
    let mut granted = format!(
        "config = {{ url = \"{origin}/hooks\" }}\nallow.http = [\"GET,POST {origin}/hooks\"]\nallow.private-network = [\"127.0.0.1\"]\n"
    );
    for (name, _, uses, more) in SECRETS {
        manifest.push_str(&format!(
            "[[permission.secret]]\nname = \"{name}\"\nuse = {{ {uses} }}\nwhy = \"send\"\n"
        ));
        granted.push_str(&format!(
            "secrets.{name} = {{ from = \"env:{name}\", to = [\"{origin}\"], use = [{more}] }}\n"
        ));
    }
    let values = SECRETS.map(|(name, value, ..)| (name, value));
    let (binding, _) = Granted::bound("sender", &manifest, &granted, &values);
    binding.services(Surroundings::default()).unwrap()
}

/// A text of a case with placeholders.
async fn filled(services: &Services, origin: &str, text: &str) -> Result<String, Failure> {
    let secrets = services.secrets.as_ref().unwrap();
    let mut text = text.replace("{origin}", origin);
    for name in ["header", "path", "dots", "body", "computed", "absent"] {
        let mark = format!("{{{name}}}");
        if text.contains(&mark) {
            let placeholder = secrets.placeholder(name.to_owned()).await?;
            text = text.replace(&mark, &placeholder);
        }
    }
    if text.contains("{basic}") {
        let placeholder = secrets.basic("me".into(), "login".into()).await?;
        text = text.replace("{basic}", &placeholder);
    }
    if text.contains("{adopted}") {
        let to = "https://elsewhere.example".to_owned();
        let placeholder = secrets.adopt("fresh-token".into(), to).await?;
        text = text.replace("{adopted}", &placeholder);
    }
    Ok(text)
}

async fn send(services: &Services, origin: &str, case: &Value) -> Result<(), Failure> {
    let text = |name: &str, default| case[name].as_str().unwrap_or(default);
    let mut request = HttpRequest {
        method: text("method", "POST").to_owned(),
        url: filled(services, origin, text("url", "{origin}/hooks")).await?,
        ..HttpRequest::default()
    };
    for header in case["headers"].as_array().into_iter().flatten() {
        let [name, value] = [0, 1].map(|at| header[at].as_str().unwrap());
        let value = filled(services, origin, value).await?;
        request.headers.push((name.to_owned(), value));
    }
    if let Some(body) = case["body"].as_str() {
        request.body = HttpBody::Bytes(filled(services, origin, body).await?.into_bytes());
    }
    let http = services.http.as_ref().unwrap();
    http.exchange(request).await.map(drop)
}

#[tokio::test]
async fn the_host_judges_requests_as_the_fake_does() {
    let server = Server::start("204 No Content");
    let origin = format!("http://{}", server.address);
    let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
    for case in cases {
        let why = &case["why"];
        let sent = send(&services(&origin), &origin, &case).await;
        let code = sent.as_ref().err().map(|failure| failure.code.as_str());
        assert_eq!(code, case["code"].as_str(), "{why}: {sent:?}");
        let expected = &case["arrives"];
        if expected.is_null() {
            assert!(server.is_untouched(), "{why}");
            continue;
        }
        let request = server.next();
        let line = expected["line"].as_str().unwrap();
        assert_eq!(request.line, format!("{line} HTTP/1.1"), "{why}");
        for (name, value) in expected["headers"].as_object().into_iter().flatten() {
            assert_eq!(request.headers[name], *value, "{why}");
        }
        if let Some(body) = expected["body"].as_str() {
            assert_eq!(request.body, body, "{why}");
        }
    }
}
