//! Writes log lines as JSON into a file: one object a line, with the members of piper's own `log` events.
//!
//! The reference for log sinks, and as little as one can be. Nothing is remembered from write to write: where the file ends is asked
//! each time, so that whoever rotates logs may rename it or cut it off.

use piper_plugin::{log_sink::Entry, prelude::*};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Where lines go.
#[settings]
struct Config {
    /// The file: `/out/…` or `/cache/…`, whichever folder is granted. It is written behind what it has.
    #[setting(default = "/out/log.ndjson", pattern = "^/(out|cache)/.")]
    path: String,
}

/// An open sink.
#[derive(Debug)]
struct File {
    path: String,
}

/// What is the same for all lines of a batch.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Origin<'a> {
    #[serde(borrow)]
    project: Cow<'a, str>,
    #[serde(borrow)]
    pipeline: Cow<'a, str>,
}

/// A line of the file. Its id is `build`, `attempt` and `line`: lines may be there twice, and are the same if these are.
#[derive(Serialize)]
struct Line<'a> {
    at: String,
    build: &'a str,
    attempt: u32,
    line: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    project: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pipeline: &'a str,
    step: &'a str,
    r#try: u32,
    stream: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    continues: bool,
    #[serde(skip_serializing_if = "is_false")]
    no_eol: bool,
    #[serde(skip_serializing_if = "is_false")]
    cut: bool,
    #[serde(skip_serializing_if = "is_false")]
    after_gap: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl LogSink<Config> for File {
    type Options = ();

    fn open(opening: Opening<Config, ()>) -> Result<Self> {
        let path = opening.config.path;
        // Whether it can be written is worth knowing before anything is to be lost.
        files::append(&path, b"")?;
        Ok(Self { path })
    }

    fn write(&mut self, batches: &[Batch]) -> Result<Receipt> {
        let mut lines = Vec::new();
        if !ends_whole(&self.path)? {
            // What was cut off by a crash stays a line of its own, which no reader takes for JSON. It is sent again.
            lines.push(b'\n');
        }
        for batch in batches {
            let origin: Origin<'_> = serde_json::from_str(&batch.facts).unwrap_or_default();
            for entry in batch.entries() {
                serde_json::to_writer(&mut lines, &line(batch, &origin, &entry))?;
                lines.push(b'\n');
            }
        }
        files::append(&self.path, &lines)?;
        Ok(Receipt::all())
    }
}

/// Whether the file is empty, not there, or ends with a line end.
fn ends_whole(path: &str) -> Result<bool> {
    let size = match files::stat(path) {
        Ok(info) => info.size,
        Err(failure) if failure.code == "fs.not-found" => 0,
        Err(failure) => return Err(failure),
    };
    Ok(size == 0 || files::read_part(path, size - 1, 1)? == b"\n")
}

fn line<'a>(batch: &'a Batch, origin: &'a Origin<'_>, entry: &Entry<'a>) -> Line<'a> {
    let text = str::from_utf8(entry.line).ok();
    Line {
        at: entry.time.to_string(),
        build: &batch.build,
        attempt: batch.attempt,
        line: entry.seq,
        project: &origin.project,
        pipeline: &origin.pipeline,
        step: &entry.step.path,
        r#try: entry.step.r#try,
        stream: match entry.marks.is_stderr() {
            false => "stdout",
            true => "stderr",
        },
        text,
        base64: text.is_none().then(|| encode::base64(entry.line)),
        continues: entry.marks.continues(),
        no_eol: entry.marks.has_no_eol(),
        cut: entry.marks.is_cut(),
        after_gap: entry.marks.follows_a_gap(),
    }
}

piper_plugin::plugin! { config: Config, log_sink: File }

#[cfg(test)]
mod tests;
