//! Log records on their way to standard output: for people, as they were written, or for programs.
//!
//! Which records there are is not decided here.

use super::super::past::LocalTime;
use crate::ui::{
    ndjson::Ndjson,
    output::{Outputs, Sink},
    sanitize::{Policy, Returns, Sanitizer, words},
    style::{Paint, Style, width},
};
use piper_core::{
    id::BuildId,
    log::{Marks, Record, Stream},
    time::Timestamp,
    wire::v1::Event,
};
use piper_engine::logs::Batch;
use std::{collections::HashMap, io};

/// Labels are padded to the widest one, but not further than this.
const PAD: usize = 20;

/// A line that is longer is shown in parts, so that one without end takes no memory.
const PART: usize = 64 * 1024;

/// What is printed beside the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    /// Nothing, and the text untouched.
    pub(super) raw: bool,
    /// When it came.
    pub(super) timestamps: bool,
    /// Which step wrote it.
    pub(super) label: bool,
    /// Where a step was tried again. Only on a terminal: whoever reads on is given the lines of the steps and nothing else.
    pub(super) tries: bool,
}

/// Prints records.
pub(super) enum Printer {
    /// For people.
    People(Box<People>),
    /// For programs.
    Programs(Box<Ndjson>),
}

/// What printing for people needs.
pub(super) struct People {
    outputs: Outputs,
    form: Form,
    style: Style,
    pad: usize,
    clock: LocalTime,
    channels: HashMap<(u32, u32, Stream), Channel>,
    /// The newest try of each step of which something was printed.
    tries: HashMap<u32, u32>,
}

/// One stream of one try.
struct Channel {
    sanitizer: Sanitizer,
    prefix: String,
    /// What came of a line that has not ended.
    line: Vec<u8>,
    at: Timestamp,
}

impl Printer {
    /// Prints for people; `labels` are those of all steps.
    pub(super) fn for_people(outputs: Outputs, form: Form, style: Style, labels: &[&str]) -> Self {
        Self::People(Box::new(People {
            outputs,
            form,
            style,
            pad: labels
                .iter()
                .map(|label| width(label))
                .max()
                .unwrap_or(0)
                .min(PAD),
            clock: LocalTime::default(),
            channels: HashMap::new(),
            tries: HashMap::new(),
        }))
    }

    /// Prints the wire format; it begins with what the build is.
    pub(super) fn for_programs(
        outputs: Outputs,
        build: BuildId,
        now: Timestamp,
        started: Option<&(Timestamp, Event)>,
    ) -> Self {
        let mut stream = Ndjson::new(outputs, build, 1, env!("CARGO_PKG_VERSION"), now);
        if let Some((at, event)) = started {
            stream.event(*at, event);
        }
        Self::Programs(Box::new(stream))
    }

    /// Prints the records of a batch.
    pub(super) fn batch(&mut self, batch: &Batch) {
        for record in batch.records() {
            match self {
                Self::People(people) => {
                    people.record(&super::record(&record), &record.source.label)
                }
                Self::Programs(stream) => stream.record(&super::record(&record)),
            }
            if self.is_dead() {
                return;
            }
        }
    }

    /// Tells programs how the build ended.
    pub(super) fn ended(&mut self, events: &[(Timestamp, Event)]) {
        if let Self::Programs(stream) = self {
            events
                .iter()
                .for_each(|(at, event)| stream.event(*at, event));
        }
    }

    /// Writes what was collected.
    pub(super) fn flush(&mut self) {
        match self {
            Self::People(people) => people.outputs.flush(),
            Self::Programs(stream) => stream.flush(),
        }
    }

    /// Writes everything, lines without an end included.
    pub(super) fn finish(&mut self) {
        if let Self::People(people) = self {
            people.finish();
        }
        self.flush();
    }

    /// Whether nobody reads any more.
    pub(super) fn is_dead(&mut self) -> bool {
        self.sink().is_dead()
    }

    /// Why nothing can be written, unless the reader just went away.
    pub(super) fn trouble(&mut self) -> Option<io::Error> {
        let trouble = self.sink().trouble()?;
        Some(io::Error::new(trouble.kind(), trouble.to_string()))
    }

    fn sink(&mut self) -> &mut Sink {
        match self {
            Self::People(people) => people.outputs.sink(Stream::Stdout),
            Self::Programs(stream) => stream.sink(),
        }
    }
}

impl People {
    fn record(&mut self, record: &Record<'_>, label: &str) {
        self.mark_try(record, label);
        let sink = self.outputs.sink(Stream::Stdout);
        if self.form.raw {
            sink.buffer.extend_from_slice(record.text);
            if record.marks.ends_line() {
                sink.buffer.push(b'\n');
            }
        } else {
            let key = (record.step, record.r#try, record.marks.stream());
            let channel = self.channels.entry(key).or_insert_with(|| {
                Channel::new(
                    policy(self.form, sink),
                    prefix(self.form, self.style, self.pad, label),
                )
            });
            if self.form.label || self.form.timestamps {
                channel.collect(
                    sink,
                    record,
                    self.form.timestamps.then_some(&mut self.clock),
                );
            } else {
                channel.pass(sink, record);
            }
        }
        if sink.is_full() {
            sink.flush();
        }
    }

    /// Shows a person where another try of a step begins.
    fn mark_try(&mut self, record: &Record<'_>, label: &str) {
        let sink = self.outputs.sink(Stream::Stdout);
        if !self.form.tries || self.form.raw || !sink.face.terminal {
            return;
        }
        let newest = self.tries.entry(record.step).or_insert(1);
        if record.r#try <= *newest {
            return;
        }
        *newest = record.r#try;
        sink.end_line();
        let rule = self.style.symbols.rule;
        let mark = format!("{rule} try {newest} {rule}");
        sink.buffer
            .extend_from_slice(prefix(self.form, self.style, self.pad, label).as_bytes());
        sink.buffer
            .extend_from_slice(self.style.paint(Paint::Dim, mark).as_bytes());
        sink.buffer.push(b'\n');
    }

    fn finish(&mut self) {
        let sink = self.outputs.sink(Stream::Stdout);
        for channel in self
            .channels
            .values_mut()
            .filter(|channel| !channel.line.is_empty())
        {
            channel.sanitizer.end_line(&mut channel.line);
            channel.write(sink, self.form.timestamps.then_some(&mut self.clock));
        }
        // What follows on a terminal begins its own line; a file gets what was written.
        if sink.face.terminal && !self.form.raw {
            sink.end_line();
        }
    }
}

fn policy(form: Form, sink: &Sink) -> Policy {
    let color = sink.face.color;
    match form.label || form.timestamps {
        true => Policy::Terminal {
            color,
            returns: Returns::Replace,
        },
        false if sink.face.terminal => Policy::Terminal {
            color,
            returns: Returns::Pass,
        },
        false if color => Policy::Pass,
        false => Policy::WithoutColor,
    }
}

fn prefix(form: Form, style: Style, pad: usize, label: &str) -> String {
    if !form.label {
        return String::new();
    }
    let clean = words(label);
    let padding = " ".repeat(pad.saturating_sub(width(&clean)));
    let text = format!("{clean}{padding} {}", style.symbols.bar);
    format!("{} ", style.paint(Paint::of_step(label), text))
}

impl Channel {
    fn new(policy: Policy, prefix: String) -> Self {
        Self {
            sanitizer: Sanitizer::new(policy),
            prefix,
            line: Vec::new(),
            at: Timestamp::default(),
        }
    }

    /// Passes a record on as it is.
    fn pass(&mut self, sink: &mut Sink, record: &Record<'_>) {
        let start = sink.buffer.len();
        self.sanitizer.push(record.text, &mut sink.buffer, start);
        if !record.marks.contains(Marks::CONTINUES) {
            self.sanitizer.end_line(&mut sink.buffer);
        }
        sink.open = !record.marks.ends_line();
        if record.marks.ends_line() {
            sink.buffer.push(b'\n');
        }
    }

    /// Collects a line, and writes it when it has ended or is long enough.
    fn collect(&mut self, sink: &mut Sink, record: &Record<'_>, clock: Option<&mut LocalTime>) {
        if self.line.is_empty() {
            self.at = record.at;
        }
        self.sanitizer.push(record.text, &mut self.line, 0);
        let ends = !record.marks.contains(Marks::CONTINUES);
        if ends {
            self.sanitizer.end_line(&mut self.line);
        } else if self.line.len() >= PART {
            self.sanitizer.close_colors(&mut self.line);
        } else {
            return;
        }
        // The end of a stream that ended with a line end has nothing to show.
        if record.marks.ends_line() || !self.line.is_empty() {
            self.write(sink, clock);
        }
    }

    fn write(&mut self, sink: &mut Sink, clock: Option<&mut LocalTime>) {
        if let Some(clock) = clock {
            sink.buffer
                .extend_from_slice(clock.stamp(self.at).as_bytes());
            sink.buffer.push(b' ');
        }
        sink.buffer.extend_from_slice(self.prefix.as_bytes());
        sink.buffer.extend_from_slice(&self.line);
        sink.buffer.push(b'\n');
        self.line.clear();
    }
}
