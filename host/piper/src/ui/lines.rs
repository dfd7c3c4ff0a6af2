//! What steps print, on its way to the two streams: as it comes, or line by line with the step's label before it.
//!
//! Two modes. *Alone*: at most one step runs at a time, and bytes go on at once. *Labelled*: several may run, and a line is
//! collected until it ends, so that no line is torn or mixed with another one.

use super::{
    Face,
    output::{Outputs, Sink},
    sanitize::{Policy, Returns, Sanitizer, words},
    style::{Paint, Style, width},
};
use piper_core::{
    log::{Marks, Record, Stream},
    time::Monotonic,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A part of a line is shown when the line has not ended after this time: it may be a question, or a progress bar.
const PART_AFTER: Duration = Duration::from_secs(1);

/// A part of a line is shown when it is longer than this, so that a line without end takes no memory.
const PART_BYTES: usize = 64 * 1024;

/// On a terminal, labels leave this many parts of a line but one to what the steps print; longer ones are cut.
const SHARE: usize = 3;

/// But they have at least this many columns.
const LEAST_LABEL: usize = 8;

/// Elsewhere nothing is cut: labels are padded to the widest one, but not further than this.
const PAD: usize = 48;

/// How many lines of a failed step are shown again at the end, and how many bytes they may have.
const TAIL_LINES: usize = 50;
const TAIL_BYTES: usize = 32 * 1024;

/// Whether steps share the streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// At most one step runs at a time.
    Alone,
    /// Several may run at a time.
    Labelled,
}

/// What steps print.
pub struct Lines {
    sharing: Sharing,
    unicode: bool,
    /// Steps whose output is passed on as it is, even to a terminal: they were given the terminal.
    tty: BTreeSet<u32>,
    /// Steps that were not told to print colours: nothing has to be taken out of their output again.
    colorless: BTreeSet<u32>,
    /// How wide the widest label is.
    widest: usize,
    /// How wide the terminal is, if there is one.
    columns: Option<usize>,
    /// What is left of several labels when they are cut: no name for any of them.
    ambiguous: BTreeSet<String>,
    /// Steps that print.
    steps: BTreeMap<u32, StepLines>,
    /// Whether to keep the last lines of each step, in case it fails.
    keep_tails: bool,
    /// Something was left out: of no step is it known that it printed nothing before.
    left_out: bool,
}

/// What one step prints.
struct StepLines {
    r#try: u32,
    channels: [Channel; 2],
    tail: Tail,
}

/// One stream of one step.
struct Channel {
    stream: Stream,
    prefix: Vec<u8>,
    sanitizer: Sanitizer,
    /// The line that has not ended.
    line: Vec<u8>,
    /// Since when it waits to be shown.
    since: Option<Monotonic>,
    /// A part of it was shown already.
    continued: bool,
}

/// The last lines of a step, of both streams.
#[derive(Debug, Default)]
pub struct Tail {
    bytes: Vec<u8>,
    /// Lines were forgotten.
    cut: bool,
}

impl Lines {
    /// For steps that share the streams so; `keep_tails` if [`Lines::finish_step`] shall hand out last lines.
    pub fn new(sharing: Sharing, unicode: bool, keep_tails: bool) -> Self {
        Self {
            sharing,
            unicode,
            tty: BTreeSet::new(),
            colorless: BTreeSet::new(),
            widest: 0,
            columns: None,
            ambiguous: BTreeSet::new(),
            steps: BTreeMap::new(),
            keep_tails,
            left_out: false,
        }
    }

    /// Says that a step has the terminal.
    pub fn has_terminal(&mut self, place: u32) {
        self.tty.insert(place);
    }

    /// Says that a step was not told to print colours.
    pub fn is_colorless(&mut self, place: u32) {
        self.colorless.insert(place);
    }

    /// Aligns to these labels, on a terminal of so many columns if there is one.
    pub fn align<'a>(
        &mut self,
        labels: impl Iterator<Item = &'a str> + Clone,
        columns: Option<usize>,
    ) {
        self.widest = labels.clone().map(width).max().unwrap_or(0);
        self.columns = columns;
        let Some(most) = self.most_columns().filter(|most| *most < self.widest) else {
            return;
        };
        let style = Style::new(false, self.unicode);
        let mut seen = BTreeSet::new();
        for label in labels.filter(|label| width(label) > most) {
            let cut = style.cut_label(label, most).into_owned();
            if seen.contains(&cut) {
                self.ambiguous.insert(cut);
            } else {
                seen.insert(cut);
            }
        }
    }

    /// How many columns a label may have on the terminal.
    fn most_columns(&self) -> Option<usize> {
        let columns = self.columns?;
        Some((columns / SHARE).max(LEAST_LABEL))
    }

    /// Adds a record to the stream that it belongs to.
    pub fn record(
        &mut self,
        outputs: &mut Outputs,
        now: Monotonic,
        label: &str,
        record: &Record<'_>,
    ) {
        let stream = record.marks.stream();
        if record.marks.contains(Marks::DROPPED_BEFORE) {
            // Whatever was open may have ended in what is missing.
            self.finish_step(outputs, record.step);
            let talk = outputs.talk();
            talk.line(&format!("{label}: some of its output is missing here"));
        }
        if record.marks.contains(Marks::PIPER) {
            let text = String::from_utf8_lossy(record.text);
            outputs.talk().line(&format!("{label}: {}", words(&text)));
            return;
        }
        if !self.steps.contains_key(&record.step) {
            let step = self.begin(outputs, label, record);
            self.steps.insert(record.step, step);
        }
        let step = self
            .steps
            .get_mut(&record.step)
            .expect("it was just put there");
        if step.r#try != record.r#try {
            for channel in &mut step.channels {
                channel.restart(outputs, self.sharing);
            }
            step.r#try = record.r#try;
        }
        let channel = &mut step.channels[stream as usize];
        let sink = outputs.sink(stream);
        match self.sharing {
            Sharing::Alone => channel.pass(sink, record),
            Sharing::Labelled => {
                let tail = self.keep_tails.then_some(&mut step.tail);
                channel.collect(sink, now, record, tail);
            }
        }
    }

    /// Adds many records of one try and one stream at once, whose text has its line ends; `false`, and nothing is added, if they
    /// are to be looked at one by one. It is what makes a flood of short lines as cheap as its bytes.
    pub fn whole_lines(&mut self, outputs: &mut Outputs, lines: &Record<'_>) -> bool {
        let marks = lines.marks;
        let is_plain = marks.ends_line()
            && !marks.contains(Marks::PIPER)
            && !marks.contains(Marks::DROPPED_BEFORE);
        let Some(step) = self.steps.get(&lines.step) else {
            return false;
        };
        let channel = &step.channels[marks.stream() as usize];
        let passes = self.sharing == Sharing::Alone
            && is_plain
            && step.r#try == lines.r#try
            && channel.sanitizer.lets_pass(lines.text);
        if passes {
            let sink = outputs.sink(channel.stream);
            sink.buffer.extend_from_slice(lines.text);
            sink.open = false;
        }
        passes
    }

    /// Ends what is open, because what comes next does not follow what came last.
    pub fn leave_out(&mut self, outputs: &mut Outputs) {
        self.finish(outputs);
        self.left_out = true;
    }

    /// Shows parts of lines that have waited long enough.
    pub fn expire(&mut self, outputs: &mut Outputs, now: Monotonic) {
        for channel in self.steps.values_mut().flat_map(|step| &mut step.channels) {
            if channel
                .since
                .is_some_and(|since| now.since(since) >= PART_AFTER)
            {
                channel.show_part(outputs.sink(channel.stream));
            }
        }
    }

    /// When [`expire`](Self::expire) has something to do.
    pub fn next_expiry(&self) -> Option<Monotonic> {
        let since = |channel: &Channel| channel.since;
        let channels = self.steps.values().flat_map(|step| &step.channels);
        channels
            .filter_map(since)
            .min()
            .map(|since| since + PART_AFTER)
    }

    /// Ends what a step left open, and forgets the step.
    pub fn finish_step(&mut self, outputs: &mut Outputs, place: u32) -> Tail {
        let Some(mut step) = self.steps.remove(&place) else {
            return Tail::default();
        };
        for channel in &mut step.channels {
            let sink = outputs.sink(channel.stream);
            match self.sharing {
                Sharing::Alone => channel.sanitizer.end_line(&mut sink.buffer),
                Sharing::Labelled => {
                    channel.show_line(sink, self.keep_tails.then_some(&mut step.tail))
                }
            }
        }
        step.tail
    }

    /// Ends what any step left open.
    pub fn finish(&mut self, outputs: &mut Outputs) {
        while let Some((&place, _)) = self.steps.first_key_value() {
            self.finish_step(outputs, place);
        }
    }

    fn begin(&self, outputs: &mut Outputs, label: &str, record: &Record<'_>) -> StepLines {
        let channel = |stream| {
            let face = outputs.sink(stream).face;
            Channel {
                stream,
                prefix: match self.sharing {
                    Sharing::Alone => Vec::new(),
                    Sharing::Labelled => self.prefix(face, label),
                },
                sanitizer: Sanitizer::new(self.policy(face, record.step)),
                line: Vec::new(),
                since: None,
                continued: false,
            }
        };
        StepLines {
            r#try: record.r#try,
            channels: [Stream::Stdout, Stream::Stderr].map(channel),
            tail: Tail {
                bytes: Vec::new(),
                cut: self.left_out,
            },
        }
    }

    fn prefix(&self, face: Face, label: &str) -> Vec<u8> {
        let style = Style::new(face.color, self.unicode);
        let most = self.most_columns().filter(|_| face.terminal);
        let shown = match most.map(|most| style.cut_label(label, most)) {
            Some(cut) if !self.ambiguous.contains(&*cut) => cut,
            Some(_) | None => label.into(),
        };
        let pad = self.widest.min(most.unwrap_or(PAD));
        let padding = " ".repeat(pad.saturating_sub(width(&shown)));
        let bar = style.symbols.bar;
        let before = style.paint(Paint::of_step(label), format!("{shown}{padding} {bar}"));
        format!("{before} ").into_bytes()
    }

    fn policy(&self, face: Face, step: u32) -> Policy {
        let untouched = face.color || self.colorless.contains(&step);
        match (self.sharing, face.terminal) {
            _ if self.tty.contains(&step) => Policy::Pass,
            (Sharing::Labelled, _) => Policy::Terminal {
                color: face.color,
                returns: Returns::Replace,
            },
            (Sharing::Alone, true) => Policy::Terminal {
                color: face.color,
                returns: Returns::Pass,
            },
            (Sharing::Alone, false) if untouched => Policy::Pass,
            (Sharing::Alone, false) => Policy::WithoutColor,
        }
    }
}

impl Channel {
    /// Passes a record on as it is.
    fn pass(&mut self, sink: &mut Sink, record: &Record<'_>) {
        let start = sink.buffer.len();
        self.sanitizer.push(record.text, &mut sink.buffer, start);
        if record.marks.contains(Marks::CONTINUES) {
            sink.open |= sink.buffer.len() > start;
            return;
        }
        self.sanitizer.end_line(&mut sink.buffer);
        if record.marks.ends_line() {
            sink.buffer.push(b'\n');
            sink.open = false;
        } else {
            sink.open |= sink.buffer.len() > start;
        }
    }

    /// Collects lines and shows those that are whole.
    fn collect(
        &mut self,
        sink: &mut Sink,
        now: Monotonic,
        record: &Record<'_>,
        tail: Option<&mut Tail>,
    ) {
        if record.marks.ends_line() && self.line.is_empty() && !self.continued {
            let buffer = &mut sink.buffer;
            buffer.extend_from_slice(&self.prefix);
            let start = buffer.len();
            self.sanitizer.push(record.text, buffer, start);
            self.sanitizer.end_line(buffer);
            if let Some(tail) = tail {
                tail.push(&buffer[start..]);
            }
            buffer.push(b'\n');
            self.since = None;
            return;
        }
        self.sanitizer.push(record.text, &mut self.line, 0);
        if record.marks.contains(Marks::CONTINUES) {
            if self.line.len() >= PART_BYTES {
                self.show_part(sink);
            } else if !self.line.is_empty() {
                self.since.get_or_insert(now);
            }
        } else if record.marks.ends_line() || !self.line.is_empty() {
            self.show_line(sink, tail);
        }
    }

    /// Shows what there is of a line that goes on.
    fn show_part(&mut self, sink: &mut Sink) {
        self.since = None;
        if !self.line.is_empty() {
            self.sanitizer.close_colors(&mut self.line);
            self.write_line(sink);
            self.continued = true;
        }
    }

    /// Shows the rest of a line that ended; an empty rest after a part is nothing to show.
    fn show_line(&mut self, sink: &mut Sink, tail: Option<&mut Tail>) {
        self.since = None;
        let began = !self.line.is_empty();
        self.sanitizer.end_line(&mut self.line);
        if began || !self.line.is_empty() {
            if let Some(tail) = tail {
                tail.push(&self.line);
            }
            self.write_line(sink);
        }
        self.continued = false;
    }

    fn write_line(&mut self, sink: &mut Sink) {
        sink.buffer.extend_from_slice(&self.prefix);
        sink.buffer.extend_from_slice(&self.line);
        sink.buffer.push(b'\n');
        self.line.clear();
        self.line.shrink_to(PART_BYTES);
    }

    /// Another try begins: nothing goes on from the last one.
    fn restart(&mut self, outputs: &mut Outputs, sharing: Sharing) {
        let sink = outputs.sink(self.stream);
        match sharing {
            Sharing::Alone => self.sanitizer.end_line(&mut sink.buffer),
            Sharing::Labelled => self.show_line(sink, None),
        }
        self.sanitizer = self.sanitizer.fresh();
    }
}

impl Tail {
    fn push(&mut self, line: &[u8]) {
        if line.len() > TAIL_BYTES {
            self.cut = true;
            return;
        }
        self.bytes.extend_from_slice(line);
        self.bytes.push(b'\n');
        // Forgets half at a time, so that a byte is moved once on average.
        if self.bytes.len() > 2 * TAIL_BYTES {
            let surplus = self.bytes.len() - TAIL_BYTES;
            let end = memchr::memchr(b'\n', &self.bytes[surplus..])
                .map_or(self.bytes.len(), |at| surplus + at + 1);
            self.bytes.drain(..end);
            self.cut = true;
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The last lines, each with its line feed, how many they are, and whether they are all that the step printed.
    pub fn last(&self) -> (&[u8], usize, bool) {
        let ends = memchr::memrchr_iter(b'\n', &self.bytes);
        let mut starts = ends.skip(TAIL_LINES);
        let start = starts.next().map_or(0, |end| end + 1);
        let shown = &self.bytes[start..];
        let lines = memchr::memchr_iter(b'\n', shown).count();
        (shown, lines, start == 0 && !self.cut)
    }
}

#[cfg(test)]
mod tests;
