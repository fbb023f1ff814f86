//! What comes of an attempt at a task that has no result.

use super::Task;
use chorus_protocol::{Death, EngineId, Entry, Outcome, TaskFailure};

/// Said of a function that failed and may have changed variables, when its worker goes on with these.
const UNDONE_BY_NOTHING: &str = "; what it has changed stays changed, since there was no snapshot";
/// How many more losses of a whole engine are allowed, which a task is rarely to blame for.
const OUTSIDE: u32 = 4;

impl Task {
    /// Whether it is tried again, and, if so, what is told of this attempt; or why it has failed for good. `panic` is what
    /// was said by a thread that panicked.
    pub(super) fn judge(
        &mut self,
        engine: EngineId,
        outcome: &Outcome,
        panic: Option<String>,
    ) -> Result<Option<TaskFailure>, TaskFailure> {
        let retries = self.spec.retries;
        let again = |why, may: bool| if may { Ok(Some(why)) } else { Err(why) };
        let judged = match outcome {
            Outcome::Ok | Outcome::Panicked | Outcome::ReturnedError | Outcome::TypesChanged(_) => {
                self.panics += 1;
                let mut message = panic.unwrap_or_else(|| "it ended without a result".to_owned());
                if matches!(self.spec.run.entry, Entry::Step { changes: true, .. }) && *outcome == Outcome::Ok {
                    message += UNDONE_BY_NOTHING;
                }
                again(TaskFailure::Panicked(message), self.panics <= retries)
            }
            Outcome::LoadFailed(reason) => Err(TaskFailure::LoadFailed(reason.clone())),
            // What it had changed is as before, or lost; to call it again isn't ours to decide.
            Outcome::Died(death, _)
                if *death != Death::Stopped && matches!(self.spec.run.entry, Entry::Step { .. }) =>
            {
                Err(TaskFailure::Died(*death))
            }
            // The function asked for it, and would again.
            Outcome::Died(death @ (Death::Exit(_) | Death::NoInput), _) => Err(TaskFailure::Died(*death)),
            Outcome::Died(death, _) if *death != Death::Stopped => {
                self.deaths += 1;
                self.avoids = Some(engine);
                let outside = if *death == Death::EngineLost { OUTSIDE } else { 0 };
                again(TaskFailure::Died(*death), self.deaths <= retries.max(1).saturating_add(outside))
            }
            // It was taken back, or somebody ended all that the engine had.
            Outcome::Died(..) | Outcome::Stale | Outcome::NoSuchEngine | Outcome::Cancelled => Ok(None),
        };
        // The others of a group can't go back.
        match judged {
            Ok(why) if self.first.is_some() => Err(why.unwrap_or(match outcome {
                Outcome::Died(death, _) => TaskFailure::Died(*death),
                Outcome::NoSuchEngine => TaskFailure::NoSuchEngine(engine),
                _ => TaskFailure::Cancelled,
            })),
            judged => judged,
        }
    }
}
