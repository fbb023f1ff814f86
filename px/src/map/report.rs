//! What an engine tells about its work: once for each piece, since a report is answered when there is more to do. To a loop
//! that waits for results, it tells more often.

use super::error::{Error, ask};
use super::output::lock;
use crate::link::{Answer, Ask, Done, GpuTimes, ItemFailure, Piece, Results};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// So long who leaves waits for an answer, which means that the report has arrived.
const LEAVING: Duration = Duration::from_millis(500);

/// What is done and wasn't reported yet.
#[derive(Default)]
pub(crate) struct Reports(Vec<Done>);

impl Reports {
    pub(crate) fn push(&mut self, done: Done) {
        if let Some(last) = self.0.last_mut()
            && last.first + last.count == done.first
            && last.results == Results::InPlace
            && done.results == Results::InPlace
        {
            last.count += done.count;
            last.micros += done.micros;
            last.gpu.add(done.gpu);
            last.failed.append(done.failed);
            return;
        }
        self.0.push(done);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reports, and waits for what there is to do next; nothing if the map is over.
    pub(crate) fn send(&mut self) -> Result<Vec<Piece>, Error> {
        match ask(&Ask::Next(std::mem::take(&mut self.0))) {
            Ok(Answer::Work(pieces)) => Ok(pieces),
            Ok(Answer::Ok) | Err(Error::Failed(_)) => Ok(Vec::new()),
            Ok(_) => Err(Error::Damaged),
            Err(error) => Err(error),
        }
    }

    /// Reports, and goes on with what there is to do.
    pub(crate) fn tell(&mut self) -> Result<(), Error> {
        ask(&Ask::Report(std::mem::take(&mut self.0))).map(drop)
    }

    /// Says that this engine can't map what it should have of its own: no items are done.
    pub(crate) fn refuse(error: &Error) {
        let message = error.to_string();
        let failed = ItemFailure { item: 0, value: None, message }.into();
        let (gpu, results) = (GpuTimes::default(), Results::Nothing);
        let done = Done { first: 0, count: 0, micros: 0, gpu, results, failed };
        // Without a kernel there is nobody to tell.
        let _ = ask(&Ask::Report(vec![done]));
    }

    /// Reports for the last time. The answer might only come when others have done what this engine leaves.
    pub(crate) fn leave(&mut self) {
        let last = Ask::Next(std::mem::take(&mut self.0));
        // Not a channel, whose code would be in each cell's object.
        let answered = Arc::new((Mutex::new(false), Condvar::new()));
        let answer = Arc::clone(&answered);
        let asking = std::thread::Builder::new().spawn(move || {
            // Whatever becomes of it, there is nothing else to be done.
            let _ = ask(&last);
            *lock(&answered.0) = true;
            answered.1.notify_all();
        });
        if asking.is_ok() {
            let _ = answer.1.wait_timeout_while(lock(&answer.0), LEAVING, |answered| !*answered);
        }
    }
}
