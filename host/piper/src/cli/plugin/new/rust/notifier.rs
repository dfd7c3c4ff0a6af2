//! Posts the outcome of builds to a chat.

use piper_plugin::prelude::*;

/// What the operator configures.
#[settings]
struct Config {
    /// The room's address.
    url: String,
}

/// What stands in a rule; nothing yet.
#[settings]
struct Chat {}

impl Notifier<Config> for Chat {
    fn tell(&self, event: &Event, rule: &Rule<Config>) -> Result<()> {
        if event.kind != "build.finished" {
            return Ok(());
        }
        let build = event.build();
        let text = format!("{} {}: {}", build.project, build.pipeline, build.outcome);
        http::post(&rule.config.url).json(&json!({"text": text})).send()?.ok()?;
        Ok(())
    }
}

piper_plugin::plugin! { config: Config, notifier: Chat }

#[cfg(test)]
mod tests {
    use super::*;
    use piper_plugin::testing::{Fake, event};

    #[test]
    fn tells_the_outcome() {
        let fake = Fake::new();
        fake.answer("POST https://chat.example/room", 200, "ok");
        fake.config(json!({"url": "https://chat.example/room"}));
        let body = json!({"project": "hello", "target": "test", "end": {"outcome": "failed"}});
        let events = vec![event("build.finished", body)];
        assert_eq!(fake.notify::<Chat, _>(json!({}), events).unwrap(), []);
        assert_eq!(fake.requests()[0].json()["text"], "hello test: failed");
    }
}
