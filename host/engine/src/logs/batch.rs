//! Records in memory: the one shape in which log text travels from the capture loop to the file and to every reader.
//!
//! A batch never changes once it is made, so that readers share it. It knows no file and no codec.
//!
//! The text keeps its line ends. What came with one read of one stream is a [`Run`]: many records, one time, one place in the
//! text. Nothing is kept per record, because the line ends in the text say where each of them ends.

use memchr::memchr_iter;
use piper_core::{
    id::StepIx,
    log::{Marks, Stream},
    time::Timestamp,
};
use std::{ops::Range, sync::Arc};

/// Who wrote: one try of one step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Source {
    /// The step's place in the plan.
    pub step: StepIx,
    /// Which try, from 1.
    pub r#try: u32,
    /// The step's label.
    pub label: Box<str>,
}

/// Records that follow each other, came from one stream of one source at one time and bear the same marks.
///
/// A run whose marks do not end a line is a single record.
#[derive(Debug, Clone)]
pub struct Run {
    /// Who wrote it.
    pub source: Arc<Source>,
    /// When it was read.
    pub at: Timestamp,
    /// What is special about each of its records.
    pub marks: Marks,
    /// The number of its first record.
    pub first_seq: u64,
    /// How many records it has.
    pub count: u32,
    /// Its first byte in the batch's text.
    pub(super) start: u32,
    /// The end of its bytes in the batch's text.
    pub(super) end: u32,
}

impl Run {
    /// How many lines end in this run.
    pub fn lines(&self) -> u32 {
        if self.marks.contains(Marks::CONTINUES) {
            0
        } else {
            self.count
        }
    }

    /// The number after that of its last record.
    pub fn end_seq(&self) -> u64 {
        self.first_seq + u64::from(self.count)
    }

    /// Its records, one by one; `text` is what [`Batch::runs`] hands out beside it.
    pub fn records<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = Record<'a>> {
        let mut rest = text;
        (0..u64::from(self.count)).map(move |place| {
            let text = if self.marks.ends_line() {
                let end = memchr::memchr(b'\n', rest)
                    .expect("a run that ends lines has as many line ends as records");
                let (text, after) = (&rest[..end], &rest[end + 1..]);
                rest = after;
                text
            } else {
                rest
            };
            Record {
                seq: self.first_seq + place,
                at: self.at,
                source: &self.source,
                marks: self.marks,
                text,
            }
        })
    }

    pub(super) fn bytes(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Keeps only the records at these places of the run; `text` is that of its batch.
    fn keep(&mut self, places: Range<u32>, text: &[u8]) {
        if places == (0..self.count) {
            return;
        }
        let bytes = self.bytes();
        let start_of = |place: u32| match place.checked_sub(1) {
            None => bytes.start,
            Some(before) => memchr_iter(b'\n', &text[bytes.clone()])
                .nth(before as usize)
                .map_or(bytes.end, |at| bytes.start + at + 1),
        };
        let (start, end) = (start_of(places.start), start_of(places.end));
        self.start = start as u32;
        self.end = end as u32;
        self.first_seq += u64::from(places.start);
        self.count = places.end - places.start;
    }
}

/// One record: a line without its line end, or a piece of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its number in the attempt.
    pub seq: u64,
    /// When its end was read.
    pub at: Timestamp,
    /// Who wrote it.
    pub source: &'a Source,
    /// What is special about it.
    pub marks: Marks,
    /// Its bytes.
    pub text: &'a [u8],
}

impl Record<'_> {
    /// The stream that it came from.
    pub fn stream(&self) -> Stream {
        self.marks.stream()
    }
}

/// Some records, in order.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub(super) text: Vec<u8>,
    pub(super) runs: Vec<Run>,
}

impl Batch {
    /// The number of the first record; 0 if there is none.
    pub fn first_seq(&self) -> u64 {
        self.runs.first().map_or(0, |run| run.first_seq)
    }

    /// The number after that of the last record; 0 if there is none.
    pub fn end_seq(&self) -> u64 {
        self.runs.last().map_or(0, Run::end_seq)
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The runs, each with the very bytes that its stream carried: line ends are there where the step wrote them.
    pub fn runs(&self) -> impl Iterator<Item = (&Run, &[u8])> {
        self.runs.iter().map(|run| (run, &self.text[run.bytes()]))
    }

    /// The records, one by one.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.runs().flat_map(|(run, text)| run.records(text))
    }

    /// Drops the records before `seq`.
    pub(super) fn skip_to(&mut self, seq: u64) {
        if self.first_seq() >= seq {
            return;
        }
        self.retain(|run| {
            let skipped = seq.saturating_sub(run.first_seq).min(u64::from(run.count));
            skipped as u32..run.count
        });
    }

    /// Keeps of each run the records at the places that `which` names.
    pub(super) fn retain(&mut self, mut which: impl FnMut(&Run) -> Range<u32>) {
        let text = &self.text;
        self.runs.retain_mut(|run| {
            let places = which(run);
            let keeps = !places.is_empty();
            if keeps {
                run.keep(places, text);
            }
            keeps
        });
    }

    /// What it costs in memory, roughly.
    pub(super) fn cost(&self) -> usize {
        self.text.capacity() + self.runs.capacity() * size_of::<Run>() + 128
    }
}
