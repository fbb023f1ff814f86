//! `history_request` and its reply. Its rules are IPython's, since consoles are made for them.

use super::store::Entry;
use chorus_jupyter::content::Failure;
use serde::Deserialize;
use serde_json::{Value, json};

/// How many cells the tail has when nobody says it.
const TAIL: i64 = 10;

/// Which cells are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// The last `n`; those of this session after all others.
    Tail {
        /// How many.
        n: i64,
    },
    /// The cells of one session from `start` to before `stop`.
    Range {
        /// Above 0 a session's number; 0 is this one, -1 the one before.
        session: i64,
        /// The first; below 0 it counts from the end of this session.
        start: i64,
        /// The first that isn't wanted; to the end if `None`.
        stop: Option<i64>,
    },
    /// Cells whose text matches a pattern of `*`, `?` and `[...]`.
    Search {
        /// The pattern.
        pattern: String,
        /// How many at most, the last ones.
        n: Option<i64>,
        /// Each text once, where it was last.
        unique: bool,
    },
}

/// A request for cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Which.
    pub access: Access,
    /// With their results.
    pub output: bool,
}

/// As it comes. `raw` is there as well, but a cell of Rust has only one form.
#[derive(Deserialize)]
struct Content {
    hist_access_type: String,
    #[serde(default)]
    output: bool,
    session: Option<i64>,
    start: Option<i64>,
    stop: Option<i64>,
    n: Option<i64>,
    pattern: Option<String>,
    #[serde(default)]
    unique: bool,
}

impl Query {
    /// Reads a request's content.
    pub fn read(content: &Value) -> Result<Query, Failure> {
        let asked: Content = Content::deserialize(content)
            .map_err(|error| chorus_cells::failure::bad_request("history_request", &error))?;
        let access = match asked.hist_access_type.as_str() {
            "tail" => Access::Tail { n: asked.n.unwrap_or(TAIL) },
            "range" => Access::Range {
                session: asked.session.unwrap_or(0),
                start: asked.start.unwrap_or(1),
                stop: asked.stop.filter(|stop| *stop != 0),
            },
            "search" => Access::Search {
                pattern: asked.pattern.unwrap_or_else(|| "*".into()),
                n: asked.n,
                unique: asked.unique,
            },
            other => {
                let what = format!("`{other}` is no way into the history: there are `tail`, `range` and `search`");
                return Err(chorus_cells::failure::bad_request("history_request", &what));
            }
        };
        Ok(Query { access, output: asked.output })
    }
}

/// The content of the reply.
pub fn reply(entries: Vec<Entry>, output: bool) -> Value {
    let history: Vec<Value> = entries
        .into_iter()
        .map(|entry| match output {
            true => json!([entry.session, entry.line, [entry.source, entry.output]]),
            false => json!([entry.session, entry.line, entry.source]),
        })
        .collect();
    json!({"status": "ok", "history": history})
}
