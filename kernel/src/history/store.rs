//! The history's file: SQLite in WAL mode, which several kernels may write at once and which a kill at any moment
//! leaves whole.

use super::query::{Access, Query};
use rusqlite::{Connection, ErrorCode, Params, Row, params};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// The version of the tables.
const VERSION: i64 = 1;

/// How long another kernel may keep the file to itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// Cells kept, the newest ...
const KEPT: i64 = 20_000;

/// ... of which all texts together have so many characters.
const KEPT_SIZE: i64 = 32 << 20;

/// Cells written until the oldest are looked for again.
const PRUNE_AFTER: u32 = 500;

/// Longer cells aren't kept: no console could do anything with them.
const LONGEST_SOURCE: usize = 256 << 10;

/// Longer results are cut.
const LONGEST_OUTPUT: usize = 16 << 10;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS sessions (
        session INTEGER PRIMARY KEY AUTOINCREMENT,
        started TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
    );
    CREATE TABLE IF NOT EXISTS cells (
        session INTEGER NOT NULL,
        line INTEGER NOT NULL,
        source TEXT NOT NULL,
        output TEXT,
        PRIMARY KEY (session, line)
    );";

/// A cell that ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The session that it ran in.
    pub session: i64,
    /// Its execution count.
    pub line: i64,
    /// Its text.
    pub source: String,
    /// Its result as text, if it had one.
    pub output: Option<String>,
}

/// Why the history can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file or its folder can't be made.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// SQLite's reason.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The file isn't ours to write.
    #[error("its tables are of version {0}, and this Chorus knows version {VERSION}: update Chorus, or move the file")]
    Version(i64),
}

/// The tables, and this kernel's session in them.
#[derive(Debug)]
pub(super) struct Store {
    db: Connection,
    session: i64,
    /// Cells until the next look for what is too old.
    until_prune: u32,
}

impl Store {
    /// Opens the file, or makes it, for its owner only.
    pub fn open(path: &Path) -> Result<Store, StoreError> {
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Connection::open(path).map_err(StoreError::from).and_then(Store::begin) {
                // SQLite itself doesn't wait for the lock that the change to WAL takes.
                Err(StoreError::Sqlite(error)) if is_busy(&error) && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                result => return result,
            }
        }
    }

    /// A history that nobody else sees.
    pub fn in_memory() -> Result<Store, StoreError> {
        Store::begin(Connection::open_in_memory()?)
    }

    /// Begins a session.
    fn begin(db: Connection) -> Result<Store, StoreError> {
        db.busy_timeout(PATIENCE)?;
        db.pragma_update(None, "journal_mode", "wal")?;
        // A crash of the whole machine may lose the last cells, and nothing else.
        db.pragma_update(None, "synchronous", "normal")?;
        match db.pragma_query_value(None, "user_version", |row| row.get(0))? {
            0 | VERSION => {}
            other => return Err(StoreError::Version(other)),
        }
        db.execute_batch(TABLES)?;
        db.pragma_update(None, "user_version", VERSION)?;
        db.execute("INSERT INTO sessions DEFAULT VALUES", [])?;
        let session = db.last_insert_rowid();
        let mut store = Store { db, session, until_prune: PRUNE_AFTER };
        store.prune(KEPT, KEPT_SIZE)?;
        Ok(store)
    }

    /// Adds a cell.
    pub fn add(&mut self, line: u32, source: &str) -> Result<(), StoreError> {
        if source.len() > LONGEST_SOURCE {
            return Ok(());
        }
        let sql = "INSERT OR REPLACE INTO cells (session, line, source) VALUES (?1, ?2, ?3)";
        self.db.execute(sql, params![self.session, line, source])?;
        self.until_prune -= 1;
        if self.until_prune == 0 {
            self.until_prune = PRUNE_AFTER;
            self.prune(KEPT, KEPT_SIZE)?;
        }
        Ok(())
    }

    /// Adds the result of a cell of this session.
    pub fn set_output(&mut self, line: u32, text: &str) -> Result<(), StoreError> {
        let text = &text[..text.floor_char_boundary(LONGEST_OUTPUT)];
        let sql = "UPDATE cells SET output = ?3 WHERE session = ?1 AND line = ?2";
        self.db.execute(sql, params![self.session, line, text])?;
        Ok(())
    }

    /// Removes all but the newest cells.
    pub(super) fn prune(&mut self, kept: i64, size: i64) -> Result<(), StoreError> {
        let sql = "
            DELETE FROM cells WHERE rowid IN (
                SELECT row FROM (
                    SELECT rowid AS row,
                        row_number() OVER newest AS number,
                        sum(length(source) + coalesce(length(output), 0)) OVER newest AS size
                    FROM cells WINDOW newest AS (ORDER BY session DESC, line DESC)
                ) WHERE number > ?1 OR size > ?2
            )";
        self.db.execute(sql, params![kept, size])?;
        let sql = "DELETE FROM sessions WHERE session < (SELECT min(session) FROM cells)";
        self.db.execute(sql, [])?;
        Ok(())
    }

    /// The cells that a query asks for, in the order in which they are to be shown.
    pub fn entries(&mut self, query: &Query) -> Result<Vec<Entry>, StoreError> {
        match &query.access {
            Access::Tail { n } => self.tail(*n),
            Access::Range { session, start, stop } => self.range(*session, *start, *stop),
            Access::Search { pattern, n, unique } => self.search(pattern, *n, *unique),
        }
    }

    fn tail(&self, n: i64) -> Result<Vec<Entry>, StoreError> {
        let sql = "ORDER BY session = ?1 DESC, session DESC, line DESC LIMIT ?2";
        let mut entries = self.select("session, line, source, output", sql, params![self.session, n.max(0)])?;
        entries.reverse();
        Ok(entries)
    }

    fn range(&self, asked: i64, start: i64, stop: Option<i64>) -> Result<Vec<Entry>, StoreError> {
        let session = if asked > 0 { asked } else { self.session.saturating_add(asked) };
        let mut range = (start, stop.unwrap_or(i64::MAX));
        if session == self.session {
            let sql = "SELECT coalesce(max(line), 0) + 1 FROM cells WHERE session = ?1";
            let end: i64 = self.db.query_row(sql, [session], |row| row.get(0))?;
            let from_end = |at: i64| if at < 0 { at.saturating_add(end) } else { at };
            range = (from_end(range.0), from_end(range.1));
        }
        let sql = "WHERE session = ?1 AND line >= ?2 AND line < ?3 ORDER BY line";
        let mut entries = self.select("session, line, source, output", sql, params![session, range.0, range.1])?;
        if asked == 0 {
            // As IPython names the session that asks.
            entries.iter_mut().for_each(|entry| entry.session = 0);
        }
        Ok(entries)
    }

    fn search(&self, pattern: &str, n: Option<i64>, unique: bool) -> Result<Vec<Entry>, StoreError> {
        // Beside a max, SQLite takes the other columns of a group from the row that has it.
        let (columns, group) = match unique {
            true => ("session, line, source, output, max((session << 32) + line)", "GROUP BY source"),
            false => ("session, line, source, output", ""),
        };
        let sql = format!("WHERE source GLOB ?1 {group} ORDER BY session DESC, line DESC LIMIT ?2");
        // Below 0, there is no limit.
        let limit = n.map_or(-1, |n| n.max(0));
        let mut entries = self.select(columns, &sql, params![pattern, limit])?;
        entries.reverse();
        Ok(entries)
    }

    fn select(&self, columns: &str, condition: &str, params: impl Params) -> Result<Vec<Entry>, StoreError> {
        let entry = |row: &Row<'_>| {
            Ok(Entry { session: row.get(0)?, line: row.get(1)?, source: row.get(2)?, output: row.get(3)? })
        };
        let mut statement = self.db.prepare(&format!("SELECT {columns} FROM cells {condition}"))?;
        let entries = statement.query_map(params, entry)?.collect::<Result<Vec<Entry>, _>>()?;
        Ok(entries)
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}
