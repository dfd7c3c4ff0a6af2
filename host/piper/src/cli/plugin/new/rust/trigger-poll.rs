//! Builds every branch that moved.

use piper_plugin::{prelude::*, trigger};

/// What a use says.
#[settings]
struct Branches {
    /// The repository, as the operator calls it.
    source: String,
    /// What is built.
    pipeline: String,
}

impl TriggerPoll for Branches {
    fn poll(&self, poll: &Poll) -> Result<Polled> {
        let mut polled = Polled::default();
        let seen: Vec<String> = poll.cursor().ok().flatten().unwrap_or_default();
        let mut now = Vec::new();
        for head in trigger::heads(&self.source)? {
            let key = format!("{} {}", head.r#ref, head.revision);
            if !seen.contains(&key) {
                let ask = Ask::build(&key, &self.pipeline);
                polled.asks.push(ask.source(&self.source, &head.r#ref, &head.revision));
            }
            now.push(key);
        }
        polled.set_cursor(&now)
    }
}

piper_plugin::plugin! { trigger_poll: Branches }

#[cfg(test)]
mod tests {
    use super::*;
    use piper_plugin::testing::Fake;

    #[test]
    fn asks_once_for_each_move() {
        let fake = Fake::new();
        fake.heads("hello", json!([{"ref": "refs/heads/main", "revision": "c0ffee"}]));
        let options = json!({"source": "hello", "pipeline": "test"});
        let polled = fake.poll::<Branches, _>(options.clone(), None).unwrap();
        assert_eq!(polled.asks.len(), 1);
        let again = fake.poll::<Branches, _>(options, polled.cursor).unwrap();
        assert_eq!(again.asks, []);
    }
}
