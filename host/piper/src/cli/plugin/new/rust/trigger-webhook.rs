//! Builds what a forge says was pushed.

use piper_plugin::prelude::*;

/// What a use says.
#[settings]
struct Push {
    /// What is built.
    pipeline: String,
}

impl TriggerWebhook for Push {
    fn receive(&self, delivery: &Delivery) -> Result<Received> {
        if delivery.header("x-forge-event") != Some("push") {
            return Ok(Received::ignored("only pushes are of interest"));
        }
        let push: Value = delivery.json()?;
        let text = |name: &str| push[name].as_str().unwrap_or_default().to_owned();
        let (url, r#ref, after) = (text("repository"), text("ref"), text("after"));
        let ask = Ask::build(format!("{url} {ref} {after}"), &self.pipeline);
        Ok(Received::accepted([ask.source(&url, &r#ref, &after)]))
    }
}

piper_plugin::plugin! { trigger_webhook: Push }

#[cfg(test)]
mod tests {
    use super::*;
    use piper_plugin::testing::{Fake, request};

    #[test]
    fn asks_for_a_build_of_what_was_pushed() {
        let push = json!({"repository": "https://git.example/a", "ref": "refs/heads/main", "after": "c0ffee"});
        let delivery = request("POST", "/", &[("x-forge-event", "push")], push.to_string());
        let options = json!({"pipeline": "test"});
        let received = Fake::new().receive::<Push, _>(options, delivery).unwrap();
        assert_eq!((received.status, received.asks.len()), (202, 1));
    }
}
