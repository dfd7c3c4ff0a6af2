//! A build as one JSON object a line, for programs: the wire format, on standard output and nowhere else.
//!
//! What the members are called is [`piper_core::wire::v1`]'s; a golden stream holds both together.

use super::output::{Outputs, Sink};
use piper_core::{
    id::BuildId,
    log::{Marks, Record, Stream},
    time::Timestamp,
    wire::v1::{Event, Line},
};
use serde::Serialize;

/// Writes a stream.
pub struct Ndjson {
    outputs: Outputs,
    build: BuildId,
    attempt: u32,
    seq: u64,
    labels: Vec<String>,
    /// The last time that was written as text: all records of one read have the same.
    at: (Timestamp, String),
}

/// A log record as [`Line`] writes it, without copies: a million of them pass here.
#[derive(Serialize)]
struct LogLine<'a> {
    v: u32,
    seq: u64,
    at: &'a str,
    build: &'a str,
    attempt: u32,
    r#type: &'static str,
    line: u64,
    step: &'a str,
    r#try: u32,
    stream: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    continues: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    no_eol: bool,
}

impl Ndjson {
    /// Begins a stream with the line that says who writes.
    pub fn new(outputs: Outputs, build: BuildId, attempt: u32, piper: &str, at: Timestamp) -> Self {
        let mut stream = Self {
            outputs,
            build,
            attempt,
            seq: 0,
            labels: Vec::new(),
            at: (at, at.to_string()),
        };
        let opened = Event::StreamOpened {
            piper: piper.to_owned(),
        };
        stream.write(at, String::new(), opened);
        stream.outputs.flush();
        stream
    }

    /// Writes an event.
    pub fn event(&mut self, at: Timestamp, event: &Event) {
        if let Event::BuildStarted(about) = event {
            self.labels = about.steps.iter().map(|step| step.step.clone()).collect();
        }
        self.write(at, self.build.to_string(), event.clone());
        self.outputs.flush();
    }

    /// Adds a log record.
    pub fn record(&mut self, record: &Record<'_>) {
        let text = str::from_utf8(record.text).ok();
        if self.at.0 != record.at {
            self.at = (record.at, record.at.to_string());
        }
        let line = LogLine {
            v: 1,
            seq: self.seq,
            at: &self.at.1,
            build: self.build.as_str(),
            attempt: self.attempt,
            r#type: "log",
            line: record.seq,
            step: self
                .labels
                .get(record.step as usize)
                .map_or("", String::as_str),
            r#try: record.r#try,
            stream: match record.marks.stream() {
                Stream::Stdout => "stdout",
                Stream::Stderr => "stderr",
            },
            text,
            base64: text.is_none().then(|| base64(record.text)),
            continues: record.marks.contains(Marks::CONTINUES),
            no_eol: record.marks.contains(Marks::NO_EOL),
        };
        let sink = self.outputs.sink(Stream::Stdout);
        put(&mut sink.buffer, &line);
        self.seq += 1;
        if sink.is_full() {
            sink.flush();
        }
    }

    /// Writes what was collected.
    pub fn flush(&mut self) {
        self.outputs.flush();
    }

    /// Where it is written to.
    pub fn sink(&mut self) -> &mut Sink {
        self.outputs.sink(Stream::Stdout)
    }

    /// Ends the stream and hands the streams back.
    pub fn into_outputs(self) -> Outputs {
        self.outputs
    }

    fn write(&mut self, at: Timestamp, build: String, event: Event) {
        let line = Line {
            v: 1,
            seq: self.seq,
            at: at.to_string(),
            build,
            attempt: self.attempt,
            event,
        };
        put(&mut self.outputs.sink(Stream::Stdout).buffer, &line);
        self.seq += 1;
    }
}

fn put(buffer: &mut Vec<u8>, line: &impl Serialize) {
    serde_json::to_writer(&mut *buffer, line)
        .expect("texts and numbers are always JSON, and memory takes them");
    buffer.push(b'\n');
}

/// RFC 4648 base64, with padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |n: usize| u32::from(chunk.get(n).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for n in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * n) & 63) as usize];
            text.push(if n <= chunk.len() { letter.into() } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case(b"", ""; "nothing")]
    #[test_case(b"f", "Zg=="; "one")]
    #[test_case(b"fo", "Zm8="; "two")]
    #[test_case(b"foo", "Zm9v"; "three")]
    #[test_case(b"\xff\xfe\xfd\x00", "//79AA=="; "any byte")]
    fn base64_is_that_of_the_rfc(bytes: &[u8], text: &str) {
        assert_eq!(base64(bytes), text);
    }
}
