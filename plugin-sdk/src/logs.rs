//! Log lines, as sinks get them and readers return them: many at once, column by column.

use crate::time::Timestamp;

/// A step that lines belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRef {
    /// Its path in the build.
    pub path: String,
    /// Which try of it, from 1.
    pub r#try: u32,
    /// A JSON object for what is added later.
    pub more: String,
}

/// Entries of one attempt at one build. `ends`, `times`, `step_of` and `marks` have one element for each.
///
/// ```
/// # use piper_plugin::{logs::Batch, testing::batch};
/// # let batch: Batch = batch("b", 0, &["compiling", "error: no"]);
/// for entry in batch.entries() {
///     println!("{}/{}/{} {} {:?}", batch.build, batch.attempt, entry.seq, entry.time, entry.text());
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The build.
    pub build: String,
    /// The attempt, from 1. A line's id is (build, attempt, seq), never less.
    pub attempt: u32,
    /// A JSON object, {project, pipeline, revision, agent, labels}; the same text in all batches of an attempt.
    pub facts: String,
    /// The number of the first entry.
    pub first_seq: u64,
    /// Every line's bytes back to back, without line ends. Not always UTF-8.
    pub text: Vec<u8>,
    /// Where each entry ends in `text`.
    pub ends: Vec<u32>,
    /// When each was read, in microseconds since the epoch.
    pub times: Vec<u64>,
    /// Which of `steps` each belongs to.
    pub step_of: Vec<u16>,
    /// The bits of [`Marks`].
    pub marks: Vec<u8>,
    /// The steps.
    pub steps: Vec<StepRef>,
    /// Later columns by name. Unknown ones are ignored.
    pub columns: Vec<(String, Vec<u8>)>,
    /// No entry of this attempt follows.
    pub last: bool,
}

/// What is special about an entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks(pub u8);

impl Marks {
    /// It was written to stderr.
    pub fn is_stderr(self) -> bool {
        self.0 & 1 != 0
    }

    /// It is longer than a line may be.
    pub fn is_cut(self) -> bool {
        self.0 & 2 != 0
    }

    /// It goes on in the next entry of its step.
    pub fn continues(self) -> bool {
        self.0 & 4 != 0
    }

    /// It has no line end.
    pub fn has_no_eol(self) -> bool {
        self.0 & 8 != 0
    }

    /// These are piper's own words.
    pub fn is_pipers(self) -> bool {
        self.0 & 16 != 0
    }

    /// Entries before it were dropped.
    pub fn follows_a_gap(self) -> bool {
        self.0 & 32 != 0
    }
}

/// One entry of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its place in the batch, as receipts name it.
    pub index: u32,
    /// Its number in the attempt.
    pub seq: u64,
    /// When it was read.
    pub time: Timestamp,
    /// Its step.
    pub step: &'a StepRef,
    /// Its bytes.
    pub line: &'a [u8],
    /// What is special about it.
    pub marks: Marks,
}

impl<'a> Entry<'a> {
    /// The line as a text; bytes that are none become U+FFFD.
    pub fn text(&self) -> std::borrow::Cow<'a, str> {
        String::from_utf8_lossy(self.line)
    }
}

impl Batch {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The entries in their order.
    ///
    /// # Panics
    ///
    /// When the columns do not fit together, which hosts check.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = Entry<'_>> {
        self.ends.iter().enumerate().map(|(index, &end)| {
            let begin = index.checked_sub(1).map_or(0, |before| self.ends[before]);
            Entry {
                index: u32::try_from(index)
                    .expect("a batch has fewer entries than bytes of an address"),
                seq: self.first_seq + index as u64,
                time: Timestamp(self.times[index]),
                step: &self.steps[usize::from(self.step_of[index])],
                line: &self.text[begin as usize..end as usize],
                marks: Marks(self.marks[index]),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::batch;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn entries_are_the_lines_that_went_in(lines in prop::collection::vec(".{0,20}", 0..50), first in 0..u64::MAX / 2_000_000) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let batch = batch("b", first, &lines);
            let texts: Vec<_> = batch.entries().map(|entry| entry.text().into_owned()).collect();
            prop_assert_eq!(texts, lines);
            prop_assert!(batch.entries().zip(first..).all(|(entry, seq)| entry.seq == seq));
        }
    }
}
