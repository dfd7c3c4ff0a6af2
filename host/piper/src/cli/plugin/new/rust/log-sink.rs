//! Posts lines to a server, as JSON.

use piper_plugin::prelude::*;
use std::fmt::Write;

/// What the operator configures.
#[settings]
struct Config {
    /// Where lines go.
    url: String,
}

struct Store {
    url: String,
}

impl LogSink<Config> for Store {
    type Options = ();

    fn open(opening: Opening<Config, ()>) -> Result<Self> {
        Ok(Self { url: opening.config.url })
    }

    fn write(&mut self, batches: &[Batch]) -> Result<Receipt> {
        let mut lines = String::new();
        for batch in batches {
            for entry in batch.entries() {
                // Lines come at least once: the id makes two of them one.
                let id = format!("{}/{}/{}", batch.build, batch.attempt, entry.seq);
                writeln!(lines, "{}", json!({"id": id, "text": entry.text()}))?;
            }
        }
        if !lines.is_empty() {
            http::post(&self.url).text(lines).gzip().send()?.ok()?;
        }
        Ok(Receipt::all())
    }
}

piper_plugin::plugin! { config: Config, log_sink: Store }

#[cfg(test)]
mod tests {
    use super::*;
    use piper_plugin::testing::{Fake, batch};

    #[test]
    fn posts_each_line_with_its_id() {
        let fake = Fake::new();
        fake.config(json!({"url": "https://logs.example/in"}));
        fake.answer("POST https://logs.example/in", 200, "");
        let mut sink = fake.open_sink::<Store, _>(json!({})).unwrap();
        let receipt = fake.write(&mut sink, vec![batch("b", 0, &["one", "two"])]).unwrap();
        assert_eq!(receipt, Receipt::all());
        assert!(fake.requests()[0].text().contains(r#""id":"b/1/1""#));
    }
}
