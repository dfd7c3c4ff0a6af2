//! Posts events as JSON, signed as [Standard Webhooks](https://www.standardwebhooks.com) asks for.
//!
//! One request an event. The key never comes here: the host makes the signature. Whether and when a delivery is repeated is the host's to
//! decide; here is only said which failure may pass.

use piper_plugin::{prelude::*, secrets::Hmac, time};
use std::fmt::Write;

/// Where deliveries go.
#[settings]
struct Config {
    /// The receiver's address. It takes POST requests.
    url: String,
}

/// A rule needs no options.
#[settings]
struct Webhook {}

/// The name of the secret.
const KEY: &str = "signing-key";

impl Notifier<Config> for Webhook {
    fn tell(&self, event: &Event, rule: &Rule<Config>) -> Result<()> {
        let id = id(&event.id);
        // Not when it happened: receivers refuse what was sent long ago, so that nobody can play it to them again.
        let sent_at = time::now().seconds();
        let body = json!({
            "type": event.kind,
            "timestamp": event.at.to_string(),
            "subject": event.subject,
            "seq": event.seq,
            "data": event.body,
        })
        .to_string();
        let signature = secrets::hmac(KEY, Hmac::Sha256, format!("{id}.{sent_at}.{body}"))?;
        let answer = http::post(&rule.config.url)
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", sent_at.to_string())
            .header(
                "webhook-signature",
                format!("v1,{}", encode::base64(signature)),
            )
            .text(body)
            .send()?;
        judge(answer)
    }
}

/// What the answer means for the delivery.
fn judge(answer: http::Response) -> Result<()> {
    let status = answer.status;
    match answer.ok() {
        Ok(_) => Ok(()),
        Err(failure) => Err(match status {
            410 => failure.help("the receiver wants no more deliveries: take the rule away"),
            300..=399 => failure.help("redirects are not followed: configure the address that it leads to"),
            401 | 403 => failure.help(
                "the receiver may have another key: a `whsec_…` key needs `strip = \"whsec_\"` and `decode = \"base64\"` in the grant",
            ),
            _ => failure,
        }),
    }
}

/// The event's id as the standard wants it: without dots, because they part what is signed. No two ids become one.
fn id(event: &str) -> String {
    let mut id = String::from("msg_");
    for byte in event.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' => id.push(char::from(byte)),
            other => {
                let _ = write!(id, "_{other:02x}");
            }
        }
    }
    id
}

piper_plugin::plugin! { config: Config, notifier: Webhook }

#[cfg(test)]
mod tests;
