//! The state of plugins in files: one a plugin, in a folder of the operator's.
//!
//! A file is a log: each write adds a record with a checksum and is on the disk before it is answered; what a crash left half-written
//! is cut off by the next writer. When most of a log is history it is written anew beside itself and put in its place. Processes take
//! turns by a lock on a file that is never replaced. A farm keeps state in its own store instead; the trait is the same.

use super::blocking;
use crate::{
    failure::{Failure, FailureKind},
    policy::{
        rate::Rate,
        state::{
            Entry, Put, StateError, StateLimits, StateStore as Store,
            table::{Row, Table},
        },
    },
    service::{Answer, StateEntry, StateStore},
};
use piper_core::{
    id::PluginName,
    time::{Now, Timestamp},
};
use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How much more than what is kept a log may have before it is written anew.
const SLACK: u64 = 256 * 1024;

/// What every log begins with; a later form will begin otherwise.
const MAGIC: &[u8; 8] = b"piper-s1";

/// The state of plugins in a folder.
pub struct FileState {
    folder: PathBuf,
    limits: StateLimits,
    plugins: Mutex<HashMap<PluginName, Arc<Mutex<Log>>>>,
}

impl FileState {
    /// Keeps them in this folder, which is made so that only its owner looks into it.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn open(folder: PathBuf, limits: StateLimits) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        Ok(Self {
            folder,
            limits,
            plugins: Mutex::default(),
        })
    }

    fn log(&self, plugin: &PluginName) -> Arc<Mutex<Log>> {
        let mut plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        let log = plugins.entry(plugin.clone()).or_insert_with(|| {
            let path = self.folder.join(format!("{}.state", plugin.as_str()));
            Arc::new(Mutex::new(Log::new(path, self.limits.writes())))
        });
        Arc::clone(log)
    }
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One plugin's log, and what is known of it.
struct Log {
    path: PathBuf,
    table: Table,
    /// The file that was read, and up to where. It stays open: the number of a file that is gone may be given to the next one.
    read: Option<(File, u64)>,
    writes: Rate,
}

/// The right to read, or to write, while no other process writes.
struct Turn {
    _lock: File,
    file: Option<File>,
}

impl Log {
    fn new(path: PathBuf, writes: Rate) -> Self {
        Self {
            path,
            table: Table::default(),
            read: None,
            writes,
        }
    }

    /// Waits for its turn, and reads what others wrote since.
    fn look(&mut self) -> io::Result<Turn> {
        let lock = self.lock_file()?;
        lock.lock_shared()?;
        let file = match File::open(&self.path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let mut turn = Turn { _lock: lock, file };
        self.catch_up(&mut turn)?;
        Ok(turn)
    }

    /// Likewise, to write.
    fn change(&mut self) -> io::Result<Turn> {
        let lock = self.lock_file()?;
        lock.lock()?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.mode(0o600).open(&self.path)?;
        let mut turn = Turn {
            _lock: lock,
            file: Some(file),
        };
        self.catch_up(&mut turn)?;
        Ok(turn)
    }

    fn lock_file(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        options.open(self.path.with_extension("lock"))
    }

    fn catch_up(&mut self, turn: &mut Turn) -> io::Result<()> {
        let Some(file) = &mut turn.file else {
            // Somebody took it away: nothing is kept.
            self.table = Table::default();
            self.read = None;
            return Ok(());
        };
        let now = file.metadata()?;
        let is_read = |known: &File, at: u64| {
            let known = known.metadata()?;
            io::Result::Ok((known.dev(), known.ino()) == (now.dev(), now.ino()) && at <= now.len())
        };
        let from = match &self.read {
            Some((known, at)) if is_read(known, *at)? => *at,
            _ => {
                self.table = Table::default();
                self.read = None;
                0
            }
        };
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        file.read_to_end(&mut bytes)?;
        let mut rest = bytes.as_slice();
        if from == 0 {
            match rest.strip_prefix(MAGIC) {
                Some(records) => rest = records,
                None if MAGIC.starts_with(rest) => rest = &[],
                None => return Err(io::Error::other("it is no file of a plugin's state")),
            }
        }
        while let Some((record, behind)) = Record::read(rest) {
            record.apply(&mut self.table);
            rest = behind;
        }
        let whole = match from == 0 && bytes.len() < MAGIC.len() {
            true => 0,
            false => from + (bytes.len() - rest.len()) as u64,
        };
        match &mut self.read {
            Some((_, at)) => *at = whole,
            None => self.read = Some((file.try_clone()?, whole)),
        }
        Ok(())
    }

    /// Adds a record, and waits until it is on the disk.
    fn add(&mut self, turn: &mut Turn, record: &Record<'_>) -> io::Result<()> {
        let file = turn.file.as_mut().expect("who writes opened the file");
        let (_, read) = self.read.as_mut().expect("who writes has read before");
        let at = *read;
        let mut bytes = Vec::new();
        if at == 0 {
            bytes.extend_from_slice(MAGIC);
        }
        record.write(&mut bytes);
        // Behind what is whole: half a record of somebody who crashed is written over and cut off.
        let end = at + bytes.len() as u64;
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&bytes)?;
        file.set_len(end)?;
        file.sync_data()?;
        if at == 0 {
            sync_folder(&self.path)?;
        }
        *read = end;
        record.apply(&mut self.table);
        if end > SLACK + 2 * (self.table.total() + self.table.len() * (HEAD + ROW)) as u64 {
            self.rewrite()?;
        }
        Ok(())
    }

    /// Writes the log anew without its history.
    fn rewrite(&mut self) -> io::Result<()> {
        let mut bytes = MAGIC.to_vec();
        Record::Version(self.table.version()).write(&mut bytes);
        for (key, row) in self.table.rows() {
            Record::Put(key, row).write(&mut bytes);
        }
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut draft = tempfile::NamedTempFile::new_in(folder)?;
        draft.write_all(&bytes)?;
        draft.as_file().sync_data()?;
        let file = draft.persist(&self.path)?;
        sync_folder(&self.path)?;
        self.read = Some((file, bytes.len() as u64));
        Ok(())
    }
}

/// A name is on the disk when its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// What happened: a length and a checksum, then a letter for what, numbers, the key, the value.
enum Record<'a> {
    Put(&'a str, &'a Row),
    Delete(&'a str),
    /// What was deleted had lower versions.
    Version(u64),
}

/// A record that was read.
enum Known {
    Put(String, Row),
    Delete(String),
    Version(u64),
}

/// Length and checksum.
const HEAD: usize = 8;

/// What a row has besides its key and its value.
const ROW: usize = 21;

impl Record<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&[0; HEAD]);
        match self {
            Self::Put(key, row) => {
                out.push(b'p');
                out.extend_from_slice(&row.entry.version.to_le_bytes());
                let until = row.until.map_or(u64::MAX, |until| until.0);
                out.extend_from_slice(&until.to_le_bytes());
                out.extend_from_slice(&(key.len() as u32).to_le_bytes());
                out.extend_from_slice(key.as_bytes());
                out.extend_from_slice(&row.entry.value);
            }
            Self::Delete(key) => {
                out.push(b'd');
                out.extend_from_slice(key.as_bytes());
            }
            Self::Version(version) => {
                out.push(b'v');
                out.extend_from_slice(&version.to_le_bytes());
            }
        }
        let length = (out.len() - begin - HEAD) as u32;
        let sum = crc32fast::hash(&out[begin + HEAD..]);
        out[begin..begin + 4].copy_from_slice(&length.to_le_bytes());
        out[begin + 4..begin + HEAD].copy_from_slice(&sum.to_le_bytes());
    }

    /// The first record and what follows it; nothing if it is not whole.
    fn read(bytes: &[u8]) -> Option<(Known, &[u8])> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (sum, rest) = rest.split_first_chunk()?;
        let (body, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
            return None;
        }
        Some((Known::read(body)?, rest))
    }

    fn apply(&self, table: &mut Table) {
        match self {
            Self::Put(key, row) => table.insert((*key).to_owned(), (*row).clone()),
            Self::Delete(key) => table.remove(key),
            Self::Version(version) => table.count_from(*version),
        }
    }
}

impl Known {
    fn read(body: &[u8]) -> Option<Self> {
        let (kind, body) = body.split_first()?;
        match kind {
            b'p' => {
                let (version, body) = body.split_first_chunk()?;
                let (until, body) = body.split_first_chunk()?;
                let (length, body) = body.split_first_chunk()?;
                let (key, value) = body.split_at_checked(u32::from_le_bytes(*length) as usize)?;
                let until = u64::from_le_bytes(*until);
                let row = Row {
                    entry: Entry {
                        value: value.to_vec(),
                        version: u64::from_le_bytes(*version),
                    },
                    until: (until != u64::MAX).then_some(Timestamp(until)),
                };
                Some(Self::Put(str::from_utf8(key).ok()?.to_owned(), row))
            }
            b'd' => Some(Self::Delete(str::from_utf8(body).ok()?.to_owned())),
            b'v' => Some(Self::Version(u64::from_le_bytes(body.try_into().ok()?))),
            _ => None,
        }
    }

    fn apply(self, table: &mut Table) {
        match self {
            Self::Put(key, row) => table.insert(key, row),
            Self::Delete(key) => table.remove(&key),
            Self::Version(version) => table.count_from(version),
        }
    }
}

fn unavailable(error: io::Error) -> StateError {
    StateError::Unavailable(Box::new(error))
}

impl FileState {
    fn for_write(&self, log: &mut Log, now: Now) -> Result<Turn, StateError> {
        let turn = log.writes.take(now.mono);
        turn.map_err(|retry_after| self.limits.too_often(retry_after))?;
        log.change().map_err(unavailable)
    }

    /// Adds a record; if that fails, what is in memory is not what is on the disk, and is read again the next time.
    fn add(log: &mut Log, turn: &mut Turn, record: &Record<'_>) -> Result<(), StateError> {
        log.add(turn, record).map_err(|error| {
            log.read = None;
            unavailable(error)
        })
    }
}

impl Store for FileState {
    fn get(&self, plugin: &PluginName, key: &str, now: Now) -> Result<Option<Entry>, StateError> {
        self.limits.check_key(key)?;
        let log = self.log(plugin);
        let mut log = lock(&log);
        log.look().map_err(unavailable)?;
        Ok(log.table.get(key, now).cloned())
    }

    fn put(&self, plugin: &PluginName, put: Put<'_>, now: Now) -> Result<u64, StateError> {
        self.limits.check(&put)?;
        let log = self.log(plugin);
        let mut log = lock(&log);
        let mut turn = self.for_write(&mut log, now)?;
        let row = log.table.plan(&self.limits, &put, now)?;
        Self::add(&mut log, &mut turn, &Record::Put(put.key, &row))?;
        Ok(row.entry.version)
    }

    fn delete(
        &self,
        plugin: &PluginName,
        key: &str,
        expect: Option<u64>,
        now: Now,
    ) -> Result<(), StateError> {
        self.limits.check_key(key)?;
        let log = self.log(plugin);
        let mut log = lock(&log);
        let mut turn = self.for_write(&mut log, now)?;
        if log.table.plan_delete(key, expect, now)? {
            Self::add(&mut log, &mut turn, &Record::Delete(key))?;
        }
        Ok(())
    }

    fn keys(
        &self,
        plugin: &PluginName,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
        now: Now,
    ) -> Result<Vec<String>, StateError> {
        let log = self.log(plugin);
        let mut log = lock(&log);
        log.look().map_err(unavailable)?;
        Ok(log.table.keys(prefix, after, limit, now))
    }
}

/// The state of one plugin, as its instances see it.
pub(crate) struct Own {
    pub(crate) plugin: PluginName,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) now: fn() -> Now,
}

impl Own {
    fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Store, &PluginName, Now) -> Result<T, StateError> + Send + 'static,
    ) -> Answer<'static, T> {
        let (plugin, store, now) = (self.plugin.clone(), Arc::clone(&self.store), self.now);
        Box::pin(blocking(move || Ok(work(&*store, &plugin, now())?)))
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        let kind = match &error {
            StateError::Invalid(_) => FailureKind::Invalid,
            error if error.is_transient() => FailureKind::Transient,
            _ => FailureKind::Permanent,
        };
        let retry_after = match &error {
            StateError::TooOften { retry_after, .. } => Some(*retry_after),
            _ => None,
        };
        let message = error.to_string();
        let failure = match error.limit() {
            Some(reached) => Self::limited(kind, reached, &message),
            None => Self::new(kind, error.code(), message),
        };
        Self {
            retry_after,
            ..failure
        }
    }
}

impl StateStore for Own {
    fn get(&self, key: String) -> Answer<'_, Option<StateEntry>> {
        self.ask(move |store, plugin, now| {
            let found = store.get(plugin, &key, now)?;
            Ok(found.map(|Entry { value, version }| StateEntry { value, version }))
        })
    }

    fn put(
        &self,
        key: String,
        value: Vec<u8>,
        expect: Option<u64>,
        ttl: Option<Duration>,
    ) -> Answer<'_, u64> {
        self.ask(move |store, plugin, now| {
            let put = Put {
                key: &key,
                value: &value,
                expect,
                ttl,
            };
            store.put(plugin, put, now)
        })
    }

    fn delete(&self, key: String, expect: Option<u64>) -> Answer<'_, ()> {
        self.ask(move |store, plugin, now| store.delete(plugin, &key, expect, now))
    }

    fn keys(&self, prefix: String, after: Option<String>, limit: u32) -> Answer<'_, Vec<String>> {
        self.ask(move |store, plugin, now| {
            store.keys(plugin, &prefix, after.as_deref(), limit, now)
        })
    }
}

#[cfg(test)]
mod tests;
