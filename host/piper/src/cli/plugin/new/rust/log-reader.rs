//! Reads lines back from a server.

use piper_plugin::prelude::*;

/// What the operator configures.
#[settings]
struct Config {
    /// Where lines are.
    url: String,
}

/// What a use may say; nothing yet.
#[settings]
struct Reader {}

impl LogReader<Config> for Reader {
    fn read(&self, request: &ReadRequest<Config>) -> Result<Page> {
        let url = format!("{}/{}/{}", request.config.url, request.range.build, request.range.attempt);
        let found = http::get(url).send()?.ok()?;
        let mut page = Page::default();
        for line in found.text()?.lines() {
            page.push(&request.range, page.len() as u64, "build", line);
        }
        page.complete = true;
        Ok(page)
    }

    fn search(&self, _: &SearchRequest<Config>) -> Result<Found> {
        Err(Failure::permanent("reader.no-search", "this store cannot search"))
    }
}

piper_plugin::plugin! { config: Config, log_reader: Reader }

#[cfg(test)]
mod tests {
    use super::*;
    use piper_plugin::testing::Fake;

    #[test]
    fn reads_a_log() {
        let fake = Fake::new();
        fake.config(json!({"url": "https://logs.example"}));
        fake.answer("GET https://logs.example/b/1", 200, "one\ntwo\n");
        let page = fake.read_log::<Reader, _>(json!({"build": "b", "attempt": 1}), None).unwrap();
        assert_eq!(page.len(), 2);
    }
}
