//! What an engine tells about its work, and how often: a report costs a round trip, so there is one for many items.

use super::error::{Error, ask};
use crate::link::{Answer, Ask, Done, Piece, Results};
use std::time::{Duration, Instant};

/// Who waits for results wants to see them.
const PAUSE: Duration = Duration::from_millis(2);
/// Messages aren't much longer.
const LIMIT: usize = 256 << 10;
/// Reporting takes at most one part in so many of the time.
const SHARE: u32 = 16;

/// What is done and wasn't reported yet.
pub(crate) struct Reports {
    done: Vec<Done>,
    bytes: usize,
    due: Instant,
}

impl Reports {
    pub(crate) fn new() -> Reports {
        Reports { done: Vec::new(), bytes: 0, due: Instant::now() + PAUSE }
    }

    pub(crate) fn push(&mut self, done: Done) {
        if let Results::Bytes(bytes) = &done.results {
            self.bytes += bytes.len();
        }
        if let Some(last) = self.done.last_mut()
            && last.first + last.count == done.first
            && last.results == Results::InPlace
            && done.results == Results::InPlace
        {
            last.count += done.count;
            last.micros += done.micros;
            last.failed.extend(done.failed);
            return;
        }
        self.done.push(done);
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.due || self.bytes > LIMIT
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// Reports, and learns what there is to do next. None if the map is over before its items are done.
    pub(crate) fn send(&mut self) -> Result<Option<Vec<Piece>>, Error> {
        let begin = Instant::now();
        let answer = ask(&Ask::Next(std::mem::take(&mut self.done)));
        self.bytes = 0;
        self.due = Instant::now() + PAUSE.max(begin.elapsed() * SHARE);
        match answer {
            Ok(Answer::Work(pieces)) => Ok(Some(pieces)),
            Ok(Answer::Ok) => Ok(Some(Vec::new())),
            Ok(_) => Err(Error::Damaged),
            Err(Error::Failed(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
