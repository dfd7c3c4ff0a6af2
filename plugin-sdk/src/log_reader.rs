//! Reads back what a [sink](crate::log_sink) shipped, so that it can be the central log store.
//!
//! ```
//! use piper_plugin::prelude::*;
//!
//! #[settings]
//! struct Config {
//!     url: String,
//! }
//!
//! #[settings]
//! struct Reader {}
//!
//! impl LogReader<Config> for Reader {
//!     fn read(&self, request: &ReadRequest<Config>) -> Result<Page> {
//!         let url = format!("{}/{}/{}", request.config.url, request.range.build, request.range.attempt);
//!         let from = request.cursor.as_deref().unwrap_or("0");
//!         let found = http::get(url).query("from", from).send()?.ok()?;
//!         let mut page = Page::default();
//!         for line in found.text()?.lines() {
//!             page.push(&request.range, page.len() as u64, "build", line);
//!         }
//!         page.complete = true;
//!         Ok(page)
//!     }
//!
//!     fn search(&self, _: &SearchRequest<Config>) -> Result<Found> {
//!         Err(Failure::permanent("reader.no-search", "this store cannot search"))
//!     }
//! }
//!
//! piper_plugin::plugin! {
//! #   manifest: "tests/piper-plugin.toml",
//!     config: Config,
//!     log_reader: Reader,
//! }
//! # fn main() {
//! let fake = piper_plugin::testing::Fake::new();
//! fake.config(json!({"url": "https://logs.example"}));
//! fake.answer("GET https://logs.example/b/1?from=0", 200, "one\ntwo\n");
//! let page = fake.read_log::<Reader, _>(json!({"build": "b", "attempt": 1}), None).unwrap();
//! assert_eq!(page.len(), 2);
//! # }
//! ```

use crate::{
    facts::{self, Facts},
    failure::Result,
    host::RawCall,
    logs::{Batch, StepRef},
    settings::Settings,
    time::Timestamp,
};
use serde::Deserialize;
use serde_json::{Map, Value};

/// A log reader; the implementing type is its options, `C` the plugin's configuration.
pub trait LogReader<C: Settings = ()>: Settings {
    /// Reads a part of a log.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    fn read(&self, request: &ReadRequest<C>) -> Result<Page>;

    /// Searches.
    ///
    /// # Errors
    ///
    /// When the store cannot be searched.
    fn search(&self, request: &SearchRequest<C>) -> Result<Found>;
}

/// Which part of a log.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Range {
    /// The build.
    pub build: String,
    /// The attempt, from 1.
    pub attempt: u32,
    /// The first entry's number.
    pub from: Option<u64>,
    /// The number after the last entry's.
    pub to: Option<u64>,
    /// No entry before this time.
    pub since: Option<Timestamp>,
    /// No entry after this time.
    pub until: Option<Timestamp>,
    /// Only the last so many.
    pub last: Option<u64>,
    /// Only of these steps, by path.
    pub steps: Option<Vec<String>>,
    /// Only of these streams, `stdout` and `stderr`.
    pub streams: Option<Vec<String>>,
    /// All else.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// What is asked of [`LogReader::read`].
#[derive(Debug)]
pub struct ReadRequest<C = ()> {
    /// The plugin's configuration.
    pub config: C,
    /// Which part.
    pub range: Range,
    /// Where the page before this one ended.
    pub cursor: Option<String>,
    /// At most so many entries.
    pub max_entries: u32,
    /// At most so many bytes of text.
    pub max_bytes: u32,
    /// What the host says.
    pub facts: Facts,
}

/// What is asked of [`LogReader::search`].
#[derive(Debug)]
pub struct SearchRequest<C = ()> {
    /// The plugin's configuration.
    pub config: C,
    /// What to look for: `{"all": [{field, op, value}], since, until}`.
    pub query: Value,
    /// Where the part before this one ended.
    pub cursor: Option<String>,
    /// At most so many.
    pub limit: u32,
    /// What the host says.
    pub facts: Facts,
}

/// A part of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order of their ids.
    pub batches: Vec<Batch>,
    /// Where the next page begins.
    pub next: Option<String>,
    /// All entries that there will ever be were returned.
    pub complete: bool,
}

impl Page {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.batches.iter().map(Batch::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a line of a step's stdout, without its time; a gap in the numbers begins a new batch.
    pub fn push(&mut self, range: &Range, seq: u64, step: &str, line: impl AsRef<[u8]>) {
        let line = line.as_ref();
        let fits = self.batches.last().is_some_and(|batch| {
            batch.first_seq + batch.len() as u64 == seq && batch.steps.len() < usize::from(u16::MAX)
        });
        if !fits {
            self.batches.push(Batch {
                build: range.build.clone(),
                attempt: range.attempt,
                facts: "{}".into(),
                first_seq: seq,
                ..Batch::default()
            });
        }
        let batch = self.batches.last_mut().expect("there is one now");
        let known = batch.steps.iter().position(|known| known.path == step);
        let step_of = known.unwrap_or_else(|| {
            batch.steps.push(StepRef {
                path: step.to_owned(),
                r#try: 1,
                more: "{}".into(),
            });
            batch.steps.len() - 1
        });
        batch.text.extend_from_slice(line);
        batch
            .ends
            .push(u32::try_from(batch.text.len()).expect("a page is far smaller"));
        batch.times.push(0);
        batch
            .step_of
            .push(u16::try_from(step_of).expect("checked above"));
        batch.marks.push(0);
    }
}

/// A line that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Its build.
    pub build: String,
    /// Its attempt.
    pub attempt: u32,
    /// Its number in the attempt.
    pub seq: u64,
    /// When it was read.
    pub time: Timestamp,
    /// Its step's path.
    pub step: String,
    /// Its bytes, at most 8 KiB.
    pub line: Vec<u8>,
    /// What matched: begin and end in `line`.
    pub highlights: Vec<(u32, u32)>,
    /// For what is added later.
    pub more: Map<String, Value>,
}

/// A part of what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Newest first.
    pub hits: Vec<Hit>,
    /// Where the next part begins.
    pub next: Option<String>,
    /// How many there are in all, if that is known.
    pub total: Option<u64>,
}

/// What the host hands over beside the call.
#[doc(hidden)]
#[derive(Debug, Clone)]
pub struct RawRead {
    pub range: String,
    pub cursor: Option<String>,
    pub max_entries: u32,
    pub max_bytes: u32,
}

/// What the host hands over beside the call.
#[doc(hidden)]
#[derive(Debug, Clone)]
pub struct RawSearch {
    pub query: String,
    pub cursor: Option<String>,
    pub limit: u32,
}

/// Reads a call and a log.
#[doc(hidden)]
pub fn enter_read<T: LogReader<C>, C: Settings>(call: RawCall, raw: RawRead) -> Result<Page> {
    let parts = facts::parts::<T, C, Facts>(call)?;
    parts.options.read(&ReadRequest {
        config: parts.config,
        range: serde_json::from_str(&raw.range)?,
        cursor: raw.cursor,
        max_entries: raw.max_entries,
        max_bytes: raw.max_bytes,
        facts: parts.facts,
    })
}

/// Reads a call and searches.
#[doc(hidden)]
pub fn enter_search<T: LogReader<C>, C: Settings>(call: RawCall, raw: RawSearch) -> Result<Found> {
    let parts = facts::parts::<T, C, Facts>(call)?;
    parts.options.search(&SearchRequest {
        config: parts.config,
        query: serde_json::from_str(&raw.query)?,
        cursor: raw.cursor,
        limit: raw.limit,
        facts: parts.facts,
    })
}
