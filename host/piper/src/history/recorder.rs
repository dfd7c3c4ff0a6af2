//! Says where a build's file goes, and now and then has old builds removed.
//!
//! A running build writes nothing but its own file: the index is brought up to date by whoever looks at the history. A build that
//! ended looks itself when it is time to remove old ones, after all is recorded and shown, and while Ctrl-C ends it.

use super::{Place, chain, local::sweep, recent::Recent, settings};
use piper_core::{
    id::BuildId,
    record::{BuildSummary, Recorder},
    time::Timestamp,
};
use std::{collections::HashSet, io, path::PathBuf};

/// Keeps builds in a [`Place`].
#[derive(Debug)]
pub struct LocalRecorder {
    place: Result<Place, String>,
    /// Those that run and are kept.
    running: HashSet<BuildId>,
    /// What the user was not told yet.
    warning: Option<String>,
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
            running: HashSet::new(),
            warning: None,
        }
    }

    /// The place, made safe.
    fn ready(&self) -> Result<&Place, String> {
        let place = self.place.as_ref().map_err(String::clone)?;
        place.prepare().map_err(|error| chain(&error))?;
        Ok(place)
    }
}

impl Default for LocalRecorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Recorder for LocalRecorder {
    fn begin(&mut self, build: &BuildSummary) -> Option<PathBuf> {
        match self.ready().map(|place| place.file(build.id)) {
            Ok(file) => {
                self.running.insert(build.id);
                Some(file)
            }
            Err(why) => {
                self.warning = Some(format!("nothing is kept of this build: {why}"));
                None
            }
        }
    }

    fn end(&mut self, build: BuildId, now: Timestamp) -> Vec<String> {
        let mut warnings: Vec<String> = self.warning.take().into_iter().collect();
        if let (true, Ok(place)) = (self.running.remove(&build), &self.place) {
            let size = Place::size(&place.file(build));
            warnings.extend(tidy(place, now, size));
        }
        warnings
    }
}

/// Notes that a build of `size` bytes ended, and removes old ones if enough has gathered.
fn tidy(place: &Place, now: Timestamp, size: u64) -> Vec<String> {
    let swept = settings::limits()
        .map_err(|problems| {
            let messages: Vec<_> = problems.into_iter().map(|p| p.message).collect();
            messages.join(", ")
        })
        .and_then(
            |limits| match Recent::in_place(place).note(now, size, limits) {
                Ok(true) => sweep(place.clone(), limits, now).map_err(|error| chain(&error)),
                Ok(false) => Ok(Vec::new()),
                // The build has warned of that already.
                Err(error) if is_full(&error) => Ok(Vec::new()),
                Err(error) => Err(format!(
                    "cannot note this build in `{}`: {error}",
                    place.recent().display()
                )),
            },
        );
    swept.unwrap_or_else(|why| vec![format!("old builds are not removed: {why}; see `piper gc`")])
}

/// Whether there is no room, or nothing can be written at all.
fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(
        error.kind(),
        FileTooLarge | QuotaExceeded | ReadOnlyFilesystem | StorageFull
    )
}

#[cfg(test)]
mod tests;
