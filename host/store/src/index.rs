//! The index of the local history: which builds there are, found in microseconds, in one SQLite file.
//!
//! The builds' own files are the truth. Whatever stands here can be lost and is gathered from them again, so nothing is ever
//! synced to the disk, and a damaged index is put aside rather than mended.
//!
//! Builds do not write here, only whoever looks at them: in short transactions, so that many processes share the file without meeting.

use piper_core::{
    id::BuildId,
    record::{BuildEnd, BuildSummary, Filter},
    time::Timestamp,
    wire::{
        path::{from_text, to_text},
        v1::Outcome,
    },
};
use rusqlite::{
    Connection, OpenFlags, Row, ToSql, TransactionBehavior, config::DbConfig, ffi, params,
};
use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

mod schema;

/// How long to wait for another process that makes the index, which takes milliseconds, and how often to look.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_POLL: Duration = Duration::from_millis(5);

/// How long to wait for another process's transaction. They take microseconds; who holds the file longer than this is stuck,
/// and a build must not wait for it.
const BUSY_TIMEOUT: Duration = Duration::from_millis(250);

/// Every new process reads the whole write-ahead log, which nobody folds into the database when it ends: 64 pages of 4 KiB
/// take a tenth of a millisecond, SQLite's own 1,000 take over one.
const CHECKPOINT_PAGES: u32 = 64;

/// Why the index is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no index, or a broken one.
    #[error("the index {path} of the history is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// Another process holds it.
    #[error("the index {path} of the history is locked by another process")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// A piper that this one must not write beside changed it.
    #[error("the index {path} of the history belongs to a newer piper")]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// The file or the folder does not let us.
    #[error("could not use the index {path} of the history")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// The file could not be locked, made or put aside.
    #[error("could not {doing} the index {path} of the history")]
    File {
        /// What was being done: `lock`, `create`, `put aside`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// An open index.
#[derive(Debug)]
pub struct Index {
    connection: Connection,
    path: PathBuf,
}

impl Index {
    /// Opens the index at `path`, and makes an empty one if there is none. Its folder must exist.
    ///
    /// # Errors
    ///
    /// When the file is damaged, locked, of a newer piper or not usable at all.
    pub fn open(path: &Path) -> Result<Self, Error> {
        match Self::open_existing(path) {
            // Not there, or it was moved here while we looked.
            Err(Error::Unusable { .. }) => {
                let _lock = lock(path)?;
                if fs::exists(path).is_ok_and(|exists| !exists) {
                    create(path)?;
                }
                Self::open_existing(path)
            }
            result => result,
        }
    }

    /// An index that lives and dies with this process: for when there is no file to write to.
    ///
    /// # Errors
    ///
    /// When there is no memory for it.
    pub fn in_memory() -> Result<Self, Error> {
        let path = PathBuf::from(":memory:");
        let opened = Connection::open_in_memory().and_then(|mut connection| {
            schema::migrate(&mut connection)?;
            Ok(connection)
        });
        match opened {
            Ok(connection) => Ok(Self { connection, path }),
            Err(source) => Err(classify(&path, source)),
        }
    }

    /// Puts a damaged index aside, so that the next [`open`](Self::open) makes a new one, and says where it is now.
    /// Nothing happens if it is not damaged any more: somebody else was faster.
    ///
    /// # Errors
    ///
    /// When it cannot be renamed.
    pub fn put_aside(path: &Path, now: Timestamp) -> Result<Option<PathBuf>, Error> {
        let _lock = lock(path)?;
        let sound = match Self::open_existing(path) {
            Err(Error::Damaged { .. }) => false,
            Ok(index) => index.is_sound(),
            // Somebody put it aside and has not made a new one yet.
            Err(_) if fs::exists(path).is_ok_and(|exists| !exists) => return Ok(None),
            // Whatever that is, a new file does not mend it.
            Err(error) => return Err(error),
        };
        if sound {
            return Ok(None);
        }
        let aside = suffixed(path, &format!(".damaged-{}", now.0));
        let renamed = fs::rename(path, &aside);
        // A write-ahead log that stays behind would be read into the new index.
        for suffix in ["-wal", "-shm"] {
            match fs::rename(suffixed(path, suffix), suffixed(&aside, suffix)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(file_error("put aside", path, error));
                }
                _ => {}
            }
        }
        renamed
            .map(|()| Some(aside))
            .map_err(|source| file_error("put aside", path, source))
    }

    /// Looks at every page; damage may be anywhere.
    fn is_sound(&self) -> bool {
        let check = "PRAGMA quick_check(1)";
        let verdict = self
            .connection
            .query_row(check, [], |row| row.get::<_, String>(0));
        verdict.is_ok_and(|verdict| verdict == "ok")
    }

    fn open_existing(path: &Path) -> Result<Self, Error> {
        // No mutex: a connection never leaves its thread. No creation: a half-made file must not be seen by others.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let mut connection = Connection::open_with_flags(path, flags)?;
            // SQLite tries a file that it cannot write once more, for reading only.
            if connection.is_readonly("main")? {
                return Err(rusqlite::Error::SqliteFailure(
                    ffi::Error::new(ffi::SQLITE_READONLY),
                    None,
                ));
            }
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            connection.execute_batch(&format!(
                "PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}"
            ))?;
            let fit = schema::check(&mut connection)?;
            Ok((connection, fit))
        };
        let path = path.to_owned();
        match open() {
            Ok((connection, schema::Fit::Usable)) => Ok(Self { connection, path }),
            Ok((_, schema::Fit::Newer)) => Err(Error::Newer { path }),
            Err(source) => Err(classify(&path, source)),
        }
    }

    /// Adds builds that are not known, and notes the end of those that are; an end that is known stays.
    ///
    /// # Errors
    ///
    /// When the index cannot be written.
    pub fn put(&mut self, builds: &[BuildSummary]) -> Result<(), Error> {
        let put = |connection: &mut Connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            {
                let mut statement = transaction.prepare(
                    "INSERT INTO builds (id, root, project, target, cell, environment, revision, version, created, outcome, reason, duration, size)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
                     ON CONFLICT (id) DO UPDATE SET version = coalesce(excluded.version, version), outcome = excluded.outcome,
                         reason = excluded.reason, duration = excluded.duration, size = excluded.size
                     WHERE excluded.outcome IS NOT NULL",
                )?;
                for build in builds {
                    let end = build.end.as_ref();
                    statement.execute(params![
                        build.id.as_str(),
                        to_text(&build.root),
                        build.project,
                        build.target,
                        build.cell,
                        build.environment,
                        build.revision,
                        build.version,
                        signed(build.created.0),
                        end.map(|end| end.outcome.as_str()),
                        end.and_then(|end| end.reason.as_deref()),
                        end.map(|end| signed(end.duration.as_micros() as u64)),
                        end.map(|end| signed(end.size)),
                    ])?;
                }
            }
            transaction.commit()
        };
        put(&mut self.connection).map_err(|source| classify(&self.path, source))
    }

    /// Forgets builds; unknown ones are no error.
    ///
    /// # Errors
    ///
    /// When the index cannot be written.
    pub fn remove(&mut self, builds: &[BuildId]) -> Result<(), Error> {
        let remove = |connection: &mut Connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            {
                let mut statement = transaction.prepare("DELETE FROM builds WHERE id = ?1")?;
                for id in builds {
                    statement.execute([id.as_str()])?;
                }
            }
            transaction.commit()
        };
        remove(&mut self.connection).map_err(|source| classify(&self.path, source))
    }

    /// The builds that pass `filter`, newest first.
    ///
    /// # Errors
    ///
    /// When the index cannot be read.
    pub fn list(&self, filter: &Filter) -> Result<Vec<BuildSummary>, Error> {
        let root = filter.root.as_deref().map(to_text);
        let outcome = filter.outcome.map(Outcome::as_str);
        // Ids are lower-case letters, and `{` comes after `z`: a range, so that the key's order finds them.
        let prefix = filter
            .id_prefix
            .as_ref()
            .map(|prefix| (prefix, format!("{prefix}{{")));
        let limit = filter.limit.map_or(-1, |limit| signed(limit as u64));

        let mut conditions: Vec<(&str, &dyn ToSql)> = Vec::new();
        if let Some(root) = &root {
            conditions.push(("root = ?", root));
        }
        if let Some(target) = &filter.target {
            conditions.push(("target = ?", target));
        }
        if let Some(outcome) = &outcome {
            conditions.push(("outcome = ?", outcome));
        }
        if let Some((from, to)) = &prefix {
            conditions.push(("id >= ?", from));
            conditions.push(("id < ?", to));
        }
        let (texts, mut values): (Vec<_>, Vec<_>) = conditions.into_iter().unzip();
        values.push(&limit);
        let condition = match texts.is_empty() {
            true => String::new(),
            false => format!("WHERE {}", texts.join(" AND ")),
        };
        self.select(
            &format!("{condition} ORDER BY created DESC, id DESC LIMIT ?"),
            &values,
        )
    }

    /// The builds that have not ended, as far as is known here: running or dead.
    ///
    /// # Errors
    ///
    /// When the index cannot be read.
    pub fn unfinished(&self) -> Result<Vec<BuildSummary>, Error> {
        self.select("WHERE outcome IS NULL", &[])
    }

    /// All ids, in their order.
    ///
    /// # Errors
    ///
    /// When the index cannot be read.
    pub fn ids(&self) -> Result<Vec<BuildId>, Error> {
        let ids = || {
            self.connection
                .prepare("SELECT id FROM builds ORDER BY id")?
                .query_map([], id)?
                .collect::<Result<Vec<_>, _>>()
        };
        ids().map_err(|source| classify(&self.path, source))
    }

    fn select(&self, rest: &str, values: &[&dyn ToSql]) -> Result<Vec<BuildSummary>, Error> {
        let select = || {
            self.connection
                .prepare(&format!(
                    "SELECT id, root, project, target, cell, environment, revision, version, created, outcome, reason, duration, size
                     FROM builds {rest}"
                ))?
                .query_map(values, summary)?
                .collect::<Result<Vec<_>, _>>()
        };
        select().map_err(|source| classify(&self.path, source))
    }
}

fn summary(row: &Row<'_>) -> rusqlite::Result<BuildSummary> {
    let outcome: Option<String> = row.get(9)?;
    let end = match outcome {
        None => None,
        Some(word) => Some(BuildEnd {
            outcome: Outcome::parse(&word).ok_or_else(|| unreadable(9, &word))?,
            reason: row.get(10)?,
            duration: Duration::from_micros(unsigned(row.get(11)?)),
            size: unsigned(row.get(12)?),
        }),
    };
    Ok(BuildSummary {
        id: id(row)?,
        root: from_text(&row.get::<_, String>(1)?),
        project: row.get(2)?,
        target: row.get(3)?,
        cell: row.get(4)?,
        environment: row.get(5)?,
        revision: row.get(6)?,
        version: row.get(7)?,
        created: Timestamp(unsigned(row.get(8)?)),
        end,
    })
}

fn id(row: &Row<'_>) -> rusqlite::Result<BuildId> {
    let text: String = row.get(0)?;
    BuildId::parse(&text).ok_or_else(|| unreadable(0, &text))
}

fn unreadable(column: usize, text: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(
        column,
        rusqlite::types::Type::Text,
        format!("`{text}` has no meaning here").into(),
    )
}

/// SQLite's integers have a sign; no time or size of ours comes near its limit.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn classify(path: &Path, source: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode;
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Locked { path },
        // All statements are constant, so an unknown table or column (`Unknown`) is a file that is not ours.
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt | ErrorCode::Unknown) => {
            Error::Damaged { path, source }
        }
        Some(_) => Error::Unusable { path, source },
        // What was read does not convert: we never wrote it.
        None => Error::Damaged { path, source },
    }
}

/// Makes a whole index beside its place and moves it there, so that nobody ever opens half of one.
fn create(path: &Path) -> Result<(), Error> {
    let fresh = suffixed(path, ".new");
    let failed = |source| file_error("create", path, source);
    // Left by a process that was killed just here; we hold the lock.
    for stale in ["", "-wal", "-shm"].map(|suffix| suffixed(&fresh, suffix)) {
        match fs::remove_file(stale) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    let made = Connection::open(&fresh).and_then(|mut connection| {
        connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA journal_mode = WAL")?;
        schema::migrate(&mut connection)
        // Closed here, which folds the write-ahead log into the file and removes it.
    });
    made.map_err(|source| classify(path, source))?;
    fs::rename(&fresh, path).map_err(failed)
}

/// Only one process at a time makes an index or puts one aside.
fn lock(path: &Path) -> Result<File, Error> {
    let open = || {
        let file = File::options()
            .create(true)
            .append(true)
            .open(suffixed(path, ".lock"))?;
        // Whoever holds it for longer was stopped or has a disk that hangs; nobody should hang with him.
        let mut waited = Duration::ZERO;
        while let Err(error) = file.try_lock() {
            if !matches!(error, TryLockError::WouldBlock) || waited >= LOCK_PATIENCE {
                return Err(error.into());
            }
            thread::sleep(LOCK_POLL);
            waited += LOCK_POLL;
        }
        Ok(file)
    };
    open().map_err(|source| file_error("lock", path, source))
}

fn file_error(doing: &'static str, path: &Path, source: io::Error) -> Error {
    Error::File {
        doing,
        path: path.to_owned(),
        source,
    }
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests;
