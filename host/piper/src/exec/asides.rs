//! What is told of a build beside its own events, from any thread: warnings, and what its plugins point at.
//!
//! Nobody waits here. What was added comes before the next event of the build, so a step's annotations come before the end of its try.

use piper_core::wire::v1::{Annotation, Event};
use piper_engine::logs::Warn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many annotations a build's record has: each may have some five kilobytes, and every reader of the build reads them all.
const MOST_ANNOTATIONS: usize = 1000;

/// What was told and not passed on yet. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Asides(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    events: Vec<Event>,
    /// How many annotations there were, those included that were left out.
    annotations: usize,
}

impl Asides {
    /// Adds what the user should know.
    pub fn warn(&self, message: String) {
        self.lock().events.push(Event::Warning { message });
    }

    /// Adds what a step points at, as long as the record has room for it.
    pub fn annotate(&self, annotation: Annotation) {
        let mut told = self.lock();
        told.annotations += 1;
        if told.annotations <= MOST_ANNOTATIONS {
            told.events.push(Event::Annotation(Box::new(annotation)));
        } else if told.annotations == MOST_ANNOTATIONS + 1 {
            let message = format!(
                "the record of this build has its first {MOST_ANNOTATIONS} annotations; all of them are in $PIPER_ARTIFACTS/reports"
            );
            told.events.push(Event::Warning { message });
        }
    }

    /// Where the log sends its warnings.
    pub(super) fn sink(&self) -> Warn {
        let asides = self.clone();
        Arc::new(move |warning| asides.warn(warning))
    }

    /// Those that nobody was told of yet.
    pub(super) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.lock().events)
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use piper_core::wire::v1::Level;

    #[test]
    fn a_build_has_room_for_so_many_annotations_and_says_when_there_are_more() {
        let asides = Asides::default();
        for _ in 0..MOST_ANNOTATIONS + 10 {
            asides.annotate(Annotation {
                step: "a".to_owned(),
                r#try: 1,
                level: Level::Notice,
                message: "hm".to_owned(),
                title: None,
                file: None,
                line: None,
                column: None,
                end_line: None,
            });
        }
        let mut told = asides.take();
        let last = told.pop();
        assert!(
            matches!(&last, Some(Event::Warning { message }) if message.contains("first 1000")),
            "{last:?}"
        );
        assert_eq!(told.len(), MOST_ANNOTATIONS);
        assert_eq!(asides.take(), []);
    }
}
