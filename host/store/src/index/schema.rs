//! The shape of the index, and who may write it.
//!
//! Shapes only gain: a column with a default, a table, an index. So an older piper can go on writing beside a newer one, until
//! a shape says that it must not. `user_version` holds both numbers, because it is read with the file's first page.

use rusqlite::{Connection, TransactionBehavior};

/// What leads from each shape to the next; the first from nothing. Never changed once released, only followed by another.
const MIGRATIONS: [&str; 1] = [
    "CREATE TABLE builds (
        id TEXT PRIMARY KEY, root TEXT NOT NULL, project TEXT NOT NULL, target TEXT NOT NULL, cell TEXT NOT NULL,
        environment TEXT NOT NULL, revision TEXT, version TEXT, created INTEGER NOT NULL,
        outcome TEXT, reason TEXT, duration INTEGER, size INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX builds_by_root ON builds (root, created);
    CREATE INDEX builds_by_target ON builds (root, target, created);
    CREATE INDEX builds_by_outcome ON builds (root, outcome, created);
    CREATE INDEX builds_by_age ON builds (created);
    CREATE INDEX builds_unfinished ON builds (id) WHERE outcome IS NULL;",
];

/// The shape that this piper writes.
const SHAPE: usize = MIGRATIONS.len();

/// The oldest shape whose pipers may write this one. Raised when an older piper would do harm, such as not
/// understanding a word that a column may hold.
const LOWEST_WRITER: usize = 1;

/// Whether this piper may use an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It may.
    Usable,
    /// A newer piper says that it must not.
    Newer,
}

/// Looks at an index, and brings an older one to the present shape.
pub(super) fn check(connection: &mut Connection) -> rusqlite::Result<Fit> {
    let (shape, lowest_writer) = read(connection)?;
    if lowest_writer > SHAPE {
        return Ok(Fit::Newer);
    }
    match shape {
        // An empty file: indices are moved into place when they are whole.
        0 => Err(rusqlite::Error::InvalidQuery),
        _ if shape < SHAPE => migrate(connection).map(|()| Fit::Usable),
        _ => Ok(Fit::Usable),
    }
}

/// Brings an index of any older shape, or an empty one, to the present shape.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Read again: another process may have done it while this one waited.
    let (shape, _) = read(&transaction)?;
    for migration in MIGRATIONS.iter().skip(shape) {
        transaction.execute_batch(migration)?;
    }
    if shape < SHAPE {
        transaction.pragma_update(None, "user_version", (LOWEST_WRITER << 16 | SHAPE) as i64)?;
    }
    transaction.commit()
}

fn read(connection: &Connection) -> rusqlite::Result<(usize, usize)> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let version = usize::try_from(version).unwrap_or(0);
    Ok((version & 0xffff, version >> 16))
}
