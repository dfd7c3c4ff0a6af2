//! Notes this machine's builds while they run, on a thread of its own.
//!
//! A build waits for nothing here but, at its end and for half a second at most, for its own record. What is not noted is
//! found again in the build's file.

use super::{
    Place, chain,
    local::{bury, open_index, put_aside, sweep_if_due},
    settings,
};
use piper_core::{
    id::BuildId,
    record::{BuildEnd, BuildSummary, Recorder},
    time::Timestamp,
};
use piper_store::{Error, Index};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::Duration,
};

/// How long a finished build waits for its record. Longer than a locked index is waited for, so that the reason is known.
const PATIENCE: Duration = Duration::from_millis(500);

/// How many notes may wait for the thread. A build has two, and `exec` runs the builds of a matrix one after another.
const NOTES: usize = 16;

/// Keeps builds in a [`Place`].
#[derive(Debug)]
pub struct LocalRecorder {
    place: Result<Place, String>,
    worker: Option<Worker>,
    /// What the user was not told yet.
    warning: Option<String>,
}

#[derive(Debug)]
struct Worker {
    notes: SyncSender<Note>,
    written: Receiver<Option<String>>,
}

#[derive(Debug)]
enum Note {
    Begin(BuildSummary),
    End(BuildId, BuildEnd),
}

impl LocalRecorder {
    /// A recorder for this user's builds; nothing happens until the first one begins.
    pub fn new() -> Self {
        Self::with(Place::find().map_err(|error| chain(&error)))
    }

    /// A recorder for builds in `place`.
    pub fn in_place(place: Place) -> Self {
        Self::with(Ok(place))
    }

    fn with(place: Result<Place, String>) -> Self {
        Self {
            place,
            worker: None,
            warning: None,
        }
    }

    /// The place, made safe by the first build.
    fn ready(&mut self) -> Option<&Place> {
        if self.worker.is_none() {
            let prepared = match &self.place {
                Ok(place) => place.prepare().map_err(|error| chain(&error)),
                Err(why) => Err(why.clone()),
            };
            if let Err(why) = prepared {
                self.warning = Some(format!("nothing is kept of this build: {why}"));
                return None;
            }
        }
        self.place.as_ref().ok()
    }
}

impl Default for LocalRecorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder for LocalRecorder {
    fn begin(&mut self, build: &BuildSummary) -> Option<PathBuf> {
        let place = self.ready()?.clone();
        let file = place.file(build.id);
        if self.worker.is_none() {
            match Worker::start(place) {
                Ok(worker) => self.worker = Some(worker),
                Err(error) => self.warning = Some(unlisted(&format!("no thread: {error}"))),
            }
        }
        if let Some(worker) = &self.worker {
            // A full or a closed channel is a thread that is stuck or gone; the end says so.
            let _ = worker.notes.try_send(Note::Begin(build.clone()));
        }
        Some(file)
    }

    fn end(&mut self, build: BuildId, end: BuildEnd) -> Vec<String> {
        if let Some(worker) = &self.worker {
            let trouble = match worker.notes.try_send(Note::End(build, end)) {
                Ok(()) => match worker.written.recv_timeout(PATIENCE) {
                    Ok(warning) => warning,
                    Err(RecvTimeoutError::Timeout) => {
                        Some(unlisted("the index did not answer in time"))
                    }
                    Err(RecvTimeoutError::Disconnected) => {
                        Some(unlisted("its thread ended too soon"))
                    }
                },
                Err(_) => Some(unlisted("its thread is stuck")),
            };
            self.warning = self.warning.take().or(trouble);
        }
        self.warning.take().into_iter().collect()
    }
}

/// The build is kept, but not in the index.
fn unlisted(why: &str) -> String {
    format!("this build is not in the index yet, `piper builds` will add it: {why}")
}

impl Worker {
    fn start(place: Place) -> std::io::Result<Self> {
        let (notes, inbox) = sync_channel(NOTES);
        let (answers, written) = sync_channel(NOTES);
        thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || {
                let mut clerk = Clerk {
                    place,
                    index: None,
                    running: HashMap::new(),
                    warnings: Vec::new(),
                    has_tidied: false,
                };
                clerk.work(&inbox, &answers);
            })?;
        Ok(Self { notes, written })
    }
}

/// What the thread knows.
struct Clerk {
    place: Place,
    index: Option<Index>,
    running: HashMap<BuildId, BuildSummary>,
    warnings: Vec<String>,
    has_tidied: bool,
}

impl Clerk {
    fn work(&mut self, inbox: &Receiver<Note>, answers: &SyncSender<Option<String>>) {
        let mut next = inbox.recv().ok();
        while let Some(note) = next.take() {
            match note {
                Note::Begin(build) => {
                    self.open(build.created);
                    // Opening takes longer than some builds: one that ended meanwhile is written once, with its end.
                    next = inbox.try_recv().ok();
                    if !matches!(&next, Some(Note::End(id, _)) if *id == build.id) {
                        self.put(&build);
                        self.tidy(&build);
                    }
                    self.running.insert(build.id, build);
                }
                Note::End(id, end) => {
                    if let Some(mut build) = self.running.remove(&id) {
                        build.end = Some(end);
                        self.put(&build);
                        self.tidy(&build);
                    }
                    let warning = (!self.warnings.is_empty()).then(|| self.warnings.remove(0));
                    self.warnings.clear();
                    // Nobody waits any more: he was told that it took too long.
                    let _ = answers.try_send(warning);
                }
            }
            next = next.or_else(|| inbox.recv().ok());
        }
    }

    fn open(&mut self, now: Timestamp) {
        if self.index.is_none() {
            match open_index(&self.place, now, &mut self.warnings) {
                Ok(index) => self.index = Some(index),
                Err(error) => self.trouble(error),
            }
        }
    }

    fn put(&mut self, build: &BuildSummary) {
        let put = |index: &mut Option<Index>| match index {
            Some(index) => index.put(std::slice::from_ref(build)),
            None => Ok(()),
        };
        let mut written = put(&mut self.index);
        // Damage may show only when the damaged page is touched.
        if matches!(written, Err(Error::Damaged { .. })) {
            self.index = None;
            written = put_aside(&self.place, build.created, &mut self.warnings);
            if written.is_ok() {
                self.open(build.created);
                written = put(&mut self.index);
            }
        }
        if let Err(error) = written {
            self.trouble(error);
        }
    }

    /// Once in the life of the process: closes the builds of pipers that were killed, and removes old ones.
    fn tidy(&mut self, build: &BuildSummary) {
        let Some(index) = self.index.as_mut().filter(|_| !self.has_tidied) else {
            return;
        };
        self.has_tidied = true;
        if let Err(error) = bury(index, &self.place, build.id, &mut self.warnings) {
            self.warnings.push(chain(&error));
        }
        let swept = match settings::limits() {
            Ok(limits) => sweep_if_due(index, &self.place, limits, &build.root, build.created)
                .map_err(|error| chain(&error)),
            Err(problems) => Err(problems
                .into_iter()
                .map(|problem| problem.message)
                .collect::<Vec<_>>()
                .join(", ")),
        };
        if let Err(why) = swept {
            self.warnings
                .push(format!("old builds are not removed: {why}; see `piper gc`"));
        }
    }

    fn trouble(&mut self, error: Error) {
        // A newer piper knows what it does; it adds this build when it is asked next.
        if !matches!(error, Error::Newer { .. }) {
            self.warnings.push(unlisted(&chain(&error)));
        }
    }
}

#[cfg(test)]
mod tests;
