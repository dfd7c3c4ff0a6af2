//! The history of this machine: the builds' files with their index.
//!
//! What the files say wins. Whoever opens the history brings the index up to date first, so a build is found even if its
//! record was lost on the way.

use super::{
    Place, chain, file,
    retention::{Limits, expendable},
};
use piper_core::{
    id::BuildId,
    record::{BuildSummary, Filter, History, HistoryError},
    time::Timestamp,
};
use piper_engine::scratch;
use piper_store::{Error, Index};
use std::{
    error, fs, io,
    path::{Path, PathBuf},
};

/// The builds of this machine.
#[derive(Debug)]
pub struct LocalHistory {
    place: Place,
    index: Index,
    warnings: Vec<String>,
}

/// What was removed, or would be.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// The builds.
    pub builds: Vec<BuildSummary>,
    /// How many bytes their files had.
    pub bytes: u64,
}

impl LocalHistory {
    /// Opens the history in `place` and brings its index up to date. Where nothing was kept yet, nothing is made.
    ///
    /// # Errors
    ///
    /// When the builds' folder cannot be read. An index that is of no use is only a warning.
    pub fn open(place: Place, now: Timestamp) -> Result<Self, HistoryError> {
        let fail = |source| unreadable(&place, source);
        let mut warnings = Vec::new();
        if !place.check().map_err(|error| fail(error.into()))? {
            let index = Index::in_memory().map_err(|error| fail(error.into()))?;
            return Ok(Self {
                place,
                index,
                warnings,
            });
        }
        let files = files(&place).map_err(|error| fail(error.into()))?;
        let open = |warnings: &mut Vec<String>| {
            let mut index = open_index(&place, now, warnings)?;
            catch_up(&mut index, &place, &files, warnings)?;
            Ok(index)
        };
        let opened = match open(&mut warnings) {
            // Damage may show only when the damaged page is read.
            Err(Error::Damaged { .. }) => {
                warnings.clear();
                put_aside(&place, now, &mut warnings).and_then(|()| open(&mut warnings))
            }
            opened => opened,
        };
        let index = match opened {
            Ok(index) => index,
            Err(error) => {
                warnings.clear();
                if !matches!(error, Error::Newer { .. }) {
                    warnings.push(format!(
                        "{}; reading the builds' files instead",
                        chain(&error)
                    ));
                }
                let gathered = Index::in_memory().and_then(|mut index| {
                    catch_up(&mut index, &place, &files, &mut warnings)?;
                    Ok(index)
                });
                gathered.map_err(|error| fail(error.into()))?
            }
        };
        Ok(Self {
            place,
            index,
            warnings,
        })
    }

    /// What the user should know about the history: one line each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The file of a build.
    pub fn file(&self, build: BuildId) -> PathBuf {
        self.place.file(build)
    }

    /// The builds that have been kept long enough.
    ///
    /// # Errors
    ///
    /// When the history cannot be read.
    pub fn expendable(&self, limits: Limits, now: Timestamp) -> Result<Swept, HistoryError> {
        select(&self.index, limits, now).map_err(|error| unreadable(&self.place, error.into()))
    }
}

impl History for LocalHistory {
    fn list(&self, filter: &Filter) -> Result<Vec<BuildSummary>, HistoryError> {
        self.index
            .list(filter)
            .map_err(|error| unreadable(&self.place, error.into()))
    }

    fn remove(&mut self, builds: &[BuildId]) -> Result<(), HistoryError> {
        remove(&mut self.index, &self.place, builds)
    }
}

fn unreadable(place: &Place, source: Box<dyn error::Error + Send + Sync>) -> HistoryError {
    HistoryError {
        doing: format!("read the builds in `{}`", place.builds().display()),
        source,
    }
}

/// Opens the index; a damaged one is put aside first.
fn open_index(place: &Place, now: Timestamp, warnings: &mut Vec<String>) -> Result<Index, Error> {
    match Index::open(&place.index()) {
        Err(Error::Damaged { .. }) => {
            put_aside(place, now, warnings)?;
            Index::open(&place.index())
        }
        opened => opened,
    }
}

/// Puts a damaged index aside, and says so.
fn put_aside(place: &Place, now: Timestamp, warnings: &mut Vec<String>) -> Result<(), Error> {
    if let Some(aside) = Index::put_aside(&place.index(), now)? {
        warnings.push(format!(
            "the index of the builds was damaged and is now `{}`; a new one is made from the builds' files",
            aside.display()
        ));
    }
    Ok(())
}

/// The ids of the builds that have a file, in their order.
fn files(place: &Place) -> io::Result<Vec<BuildId>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(place.builds())? {
        let name = entry?.file_name();
        let id = name
            .to_str()
            .and_then(|name| name.strip_suffix(".plog"))
            .and_then(BuildId::parse);
        ids.extend(id);
    }
    ids.sort_unstable();
    Ok(ids)
}

/// Makes the index say what the files say, reading only those that it does not know or believes to be running.
fn catch_up(
    index: &mut Index,
    place: &Place,
    files: &[BuildId],
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    let known = index.ids()?;
    let unknown = files.iter().filter(|id| known.binary_search(id).is_err());
    let unfinished = index.unfinished()?;
    let unfinished = unfinished
        .iter()
        .map(|build| &build.id)
        .filter(|id| files.binary_search(id).is_ok());
    let mut found = Vec::new();
    for &id in unknown.chain(unfinished) {
        match file::settle(&place.file(id)) {
            Ok(build) => found.extend(build.filter(|build| build.id == id)),
            Err(error) => warnings.push(chain(&error)),
        }
    }
    let gone: Vec<_> = known
        .iter()
        .filter(|id| files.binary_search(id).is_err())
        .copied()
        .collect();
    // Without a write, a reader does not wait for anybody.
    if !found.is_empty() {
        index.put(&found)?;
    }
    if !gone.is_empty() {
        index.remove(&gone)?;
    }
    Ok(())
}

/// Removes the builds in `place` that have been kept long enough, and what killed ones left; returns what the user should know.
pub(super) fn sweep(
    place: Place,
    limits: Limits,
    now: Timestamp,
) -> Result<Vec<String>, HistoryError> {
    scratch::remove_abandoned();
    let mut history = LocalHistory::open(place, now)?;
    let expendable = history.expendable(limits, now)?;
    let ids: Vec<_> = expendable.builds.iter().map(|build| build.id).collect();
    history.remove(&ids)?;
    Ok(history.warnings)
}

fn select(index: &Index, limits: Limits, now: Timestamp) -> Result<Swept, Error> {
    let mut builds = index.list(&Filter::default())?;
    let mut ids = expendable(&builds, limits, now, Path::is_dir);
    ids.sort_unstable();
    builds.retain(|build| ids.binary_search(&build.id).is_ok());
    let bytes = builds
        .iter()
        .filter_map(|build| Some(build.end.as_ref()?.size))
        .sum();
    Ok(Swept { builds, bytes })
}

/// Removes builds: their files first, because what has a file is found again; and before those what they left, because nobody
/// would find that without them.
fn remove(index: &mut Index, place: &Place, builds: &[BuildId]) -> Result<(), HistoryError> {
    for &id in builds {
        let file = place.file(id);
        let artifacts = Place::artifacts(&file);
        let removed = [
            (fs::remove_dir_all(&artifacts), &artifacts),
            (fs::remove_file(&file), &file),
        ];
        for (result, path) in removed {
            match result {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(HistoryError {
                        doing: format!("remove `{}`", path.display()),
                        source: error.into(),
                    });
                }
                _ => {}
            }
        }
    }
    index
        .remove(builds)
        .map_err(|error| unreadable(place, error.into()))
}

#[cfg(test)]
mod tests;
