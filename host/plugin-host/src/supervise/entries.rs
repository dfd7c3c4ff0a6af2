//! Some of the entries of a delivery, and what is left of its batches when only they are sent.

use crate::kind::{Batch, EntryRef};
use std::ops::Range;

/// A set of entries by their number in the delivery: ascending ranges, apart and not empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entries(Vec<Range<u32>>);

impl Entries {
    /// The first so many.
    pub fn first(count: u32) -> Self {
        Self((count > 0).then_some(0..count).into_iter().collect())
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranges.
    pub fn ranges(&self) -> &[Range<u32>] {
        &self.0
    }

    /// Those at these places of the set, which are ascending; places beyond its end are none.
    pub(super) fn pick(&self, places: impl IntoIterator<Item = u32>) -> Self {
        let mut picked: Vec<Range<u32>> = Vec::new();
        let mut ranges = self.0.iter();
        let mut range = ranges.next();
        let mut before = 0;
        for place in places {
            while let Some(here) = range
                && place - before >= here.end - here.start
            {
                before += here.end - here.start;
                range = ranges.next();
            }
            let Some(here) = range else { break };
            let entry = here.start + (place - before);
            match picked.last_mut() {
                Some(last) if last.end == entry => last.end += 1,
                Some(last) if last.end > entry => {}
                _ => picked.push(entry..entry + 1),
            }
        }
        Self(picked)
    }

    /// The first half, which is the larger one, and the second.
    pub(super) fn halves(&self) -> (Self, Self) {
        let count = self.count();
        let half = count.div_ceil(2);
        (self.pick(0..half), self.pick(half..count))
    }

    /// What of the batches is sent if only these entries are.
    pub(crate) fn of(&self, batches: &[Batch]) -> Vec<Batch> {
        let mut sent = Vec::new();
        let mut begin = 0;
        for batch in batches {
            let count = batch.ends.len() as u32;
            for range in &self.0 {
                let from = range.start.max(begin);
                let to = range.end.min(begin + count);
                if from < to {
                    sent.push(part(batch, (from - begin) as usize..(to - begin) as usize));
                }
            }
            // Nothing but the word that nothing follows.
            if count == 0 && self.0.first().is_some_and(|range| range.start <= begin) {
                sent.push(batch.clone());
            }
            begin += count;
        }
        sent
    }
}

/// Entries that stand together in a batch. Columns that are not known here cannot be parted, and go along with whole batches only.
fn part(batch: &Batch, entries: Range<usize>) -> Batch {
    if entries.len() == batch.ends.len() {
        return batch.clone();
    }
    let before = entries.start.checked_sub(1).map_or(0, |at| batch.ends[at]);
    let end = batch.ends[entries.end - 1];
    Batch {
        build: batch.build.clone(),
        attempt: batch.attempt,
        facts: batch.facts.clone(),
        first_seq: batch.first_seq + entries.start as u64,
        text: batch.text[before as usize..end as usize].to_vec(),
        ends: batch.ends[entries.clone()]
            .iter()
            .map(|end| end - before)
            .collect(),
        times: batch.times[entries.clone()].to_vec(),
        step_of: batch.step_of[entries.clone()].to_vec(),
        marks: batch.marks[entries.clone()].to_vec(),
        steps: batch.steps.clone(),
        columns: Vec::new(),
        last: batch.last && entries.end == batch.ends.len(),
    }
}

/// The places of entries among all that were written; in order, each once.
pub(crate) fn places(written: &[Batch], entries: impl IntoIterator<Item = EntryRef>) -> Vec<u32> {
    let mut begins = Vec::with_capacity(written.len());
    let mut begin = 0;
    for batch in written {
        begins.push(begin);
        begin += batch.ends.len() as u32;
    }
    let place = |entry: EntryRef| {
        begins
            .get(entry.batch as usize)
            .map(|begin| begin + entry.index)
    };
    let mut places: Vec<u32> = entries.into_iter().filter_map(place).collect();
    places.sort_unstable();
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::StepRef;
    use proptest::prelude::*;

    fn batch(lines: &[&str], first_seq: u64) -> Batch {
        let mut batch = Batch {
            build: "b".into(),
            first_seq,
            steps: vec![StepRef {
                path: "a".into(),
                r#try: 1,
                more: "{}".into(),
            }],
            last: true,
            ..Batch::default()
        };
        for line in lines {
            batch.text.extend_from_slice(line.as_bytes());
            batch.ends.push(batch.text.len() as u32);
            batch.times.push(first_seq);
            batch.step_of.push(0);
            batch.marks.push(0);
        }
        batch
    }

    /// Each line with its number.
    fn lines(batches: &[Batch]) -> Vec<String> {
        let mut lines = Vec::new();
        for batch in batches {
            assert!(batch.is_consistent());
            let mut from = 0;
            for (at, end) in batch.ends.iter().enumerate() {
                let line = String::from_utf8_lossy(&batch.text[from..*end as usize]);
                lines.push(format!("{} {line}", batch.first_seq + at as u64));
                from = *end as usize;
            }
        }
        lines
    }

    #[test]
    fn a_part_of_a_delivery_keeps_the_numbers_of_its_lines() {
        let batches = [
            batch(&["a", "bb", "", "dddd"], 10),
            batch(&[], 0),
            batch(&["e", "f"], 5),
        ];
        let all = Entries::first(6);
        assert_eq!(all.of(&batches), batches);
        let some = all.pick([1, 2, 5]);
        let sent = some.of(&batches);
        assert_eq!(lines(&sent), ["11 bb", "12 ", "6 f"]);
        assert!(!sent[0].last && sent[1].last);
        let again = [
            EntryRef { batch: 1, index: 0 },
            EntryRef { batch: 0, index: 1 },
        ];
        assert_eq!(places(&sent, again), [1, 2]);
        assert_eq!(
            lines(&some.pick(places(&sent, again)).of(&batches)),
            ["12 ", "6 f"]
        );
    }

    proptest! {
        #[test]
        fn halves_are_all_and_apart(places in proptest::collection::btree_set(0_u32..60, 0..40)) {
            let set = Entries::first(60).pick(places.iter().copied());
            let numbers = |set: &Entries| set.ranges().iter().cloned().flatten().collect::<Vec<_>>();
            prop_assert_eq!(numbers(&set), places.iter().copied().collect::<Vec<_>>());
            let (one, two) = set.halves();
            prop_assert!(one.count() - two.count() <= 1);
            prop_assert_eq!([numbers(&one), numbers(&two)].concat(), numbers(&set));
        }
    }
}
