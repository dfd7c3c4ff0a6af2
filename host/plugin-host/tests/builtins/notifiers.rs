//! `webhook` and `chat`, with a receiver that verifies what it gets.

use crate::{
    kit::{Granted, failed},
    server::{Request, Server},
    tools,
};
use piper_plugin_host::FailureKind;
use serde_json::{Value, json};
use std::time::Duration;
use test_case::test_case;

/// 32 bytes, as the standard wants keys to be written.
const KEY: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

fn webhook(server: &Server) -> Granted {
    let url = format!("http://{}/hook", server.address);
    let granted = format!(
        "config = {{ url = \"{url}\" }}\nallow.http = [\"POST {url}\"]\nallow.private-network = [\"127.0.0.1\"]\n\
         secrets.signing-key = {{ from = \"env:KEY\", strip = \"whsec_\", decode = \"base64\" }}"
    );
    Granted::new("webhook", &granted, &[("KEY", KEY)])
}

/// Whether the reference library takes the delivery for genuine.
fn is_genuine(python: &std::path::Path, request: &Request, key: &str) -> bool {
    let script = "import json, sys\nfrom standardwebhooks import Webhook\nkey, headers, body = json.loads(sys.argv[1])\n\
                  Webhook(key).verify(body, headers)";
    let told = json!([key, request.headers, request.body]).to_string();
    let verified = tools::command(python)
        .args(["-c", script, &told])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(
        verified.status.success() || said.contains("WebhookVerificationError"),
        "{said}"
    );
    verified.status.success()
}

#[tokio::test]
async fn a_delivery_is_genuine_to_the_reference_library() {
    let Some(python) = tools::standard_webhooks("a_delivery_is_genuine_to_the_reference_library")
    else {
        return;
    };
    let server = Server::start("204 No Content");
    assert_eq!(webhook(&server).notify(json!({}), vec![failed()]).await, []);
    let request = server.next();
    assert_eq!(request.line, "POST /hook HTTP/1.1");
    assert!(is_genuine(&python, &request, KEY));
    assert!(!is_genuine(
        &python,
        &request,
        "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWE="
    ));
    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(
        (&body["type"], &body["data"]["project"]),
        (&json!("build.finished"), &json!("hello"))
    );
}

#[test_case(
    "429 Too Many Requests\r\nretry-after: 7",
    FailureKind::Transient,
    Some(7)
)]
#[test_case("503 Service Unavailable", FailureKind::Transient, None)]
#[test_case("410 Gone", FailureKind::Permanent, None)]
#[test_case(
    "307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/",
    FailureKind::Permanent,
    None
)]
#[tokio::test]
async fn an_answer_says_whether_to_deliver_again(
    answer: &'static str,
    kind: FailureKind,
    wait: Option<u64>,
) {
    let server = Server::start(answer);
    let undelivered = webhook(&server).notify(json!({}), vec![failed()]).await;
    let why = &undelivered[0].why;
    assert_eq!(
        (why.kind, why.retry_after),
        (kind, wait.map(Duration::from_secs))
    );
}

#[test_case("slack")]
#[test_case("mattermost")]
#[test_case("discord")]
#[test_case("teams")]
#[tokio::test]
async fn a_chat_is_told_at_its_secret_address(service: &str) {
    let server = Server::start("200 OK");
    let (address, query) = (
        server.address,
        if service == "teams" {
            ", query = \"sig=x\""
        } else {
            ""
        },
    );
    let granted = format!(
        "config = {{ service = \"{service}\", url = \"http://{address}/services\"{query} }}\n\
         allow.http = [\"POST http://{address}/services\"]\nallow.private-network = [\"127.0.0.1\"]\n\
         secrets.hook = {{ from = \"env:HOOK\", to = [\"http://{address}\"], use = [\"path\"] }}"
    );
    let chat = Granted::new("chat", &granted, &[("HOOK", "T000/B000/XXXX")]);
    assert_eq!(chat.notify(json!({}), vec![failed()]).await, []);
    let request = server.next();
    let query = if service == "teams" { "?sig=x" } else { "" };
    assert_eq!(
        request.line,
        format!("POST /services/T000/B000/XXXX{query} HTTP/1.1")
    );
    assert!(
        request.body.contains("hello test failed"),
        "{}",
        request.body
    );
}

#[test_case("", "", "policy.secret-use"; "granted for nothing that is sent")]
#[test_case("use = [\"path\"], ", "_", "secret.unset"; "without a value")]
#[tokio::test]
async fn a_secret_that_cannot_be_sent_is_no_address_without_one(
    uses: &str,
    suffix: &str,
    expected: &str,
) {
    let server = Server::start("200 OK");
    let address = server.address;
    let granted = format!(
        "config = {{ service = \"slack\", url = \"http://{address}/services\" }}\n\
         allow.http = [\"POST http://{address}/services\"]\nallow.private-network = [\"127.0.0.1\"]\n\
         secrets.hook = {{ {uses}from = \"env:HOOK{suffix}\", to = [\"http://{address}\"] }}"
    );
    let chat = Granted::new("chat", &granted, &[("HOOK", "T000/B000/XXXX")]);
    let undelivered = chat.notify(json!({}), vec![failed()]).await;
    assert_eq!(undelivered[0].why.code, expected);
    assert!(server.is_untouched());
}

#[tokio::test]
async fn the_address_of_a_chat_may_be_no_secret() {
    let server = Server::start("404 Not Found");
    let url = format!("http://{}/services/x", server.address);
    let granted = format!(
        "config = {{ service = \"slack\", url = \"{url}\" }}\nallow.http = [\"POST {url}\"]\nallow.private-network = [\"127.0.0.1\"]"
    );
    let undelivered = Granted::new("chat", &granted, &[])
        .notify(json!({}), vec![failed()])
        .await;
    assert_eq!(
        (&*undelivered[0].why.code, undelivered[0].why.kind),
        ("http.404", FailureKind::Permanent)
    );
    assert_eq!(server.next().line, "POST /services/x HTTP/1.1");
}
