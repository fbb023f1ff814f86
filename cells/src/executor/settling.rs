//! What the compiler is told of a run that has ended.

use super::{Executor, Request};
use crate::failure::Failure;
use chorus_compiler::{Compiler, Member, Object, RunEnded, Ticket};
use chorus_protocol::Outcome;

/// What came of a run.
#[derive(Default)]
pub(super) struct Settled {
    /// Variables that members lost by it.
    pub lost: Vec<(Member, Vec<String>)>,
    /// It came to nothing, and the cell is to be compiled once more: its variables' types were redefined, or what was in the
    /// cache can't be loaded.
    pub again: bool,
}

impl Executor {
    /// Has the compiler take back what it had assumed of a run that didn't end well.
    pub(super) async fn settle(
        &self,
        object: &Object,
        ticket: Ticket,
        ended: Vec<RunEnded>,
    ) -> Result<Settled, Failure> {
        let all = |is: fn(&Outcome) -> bool| !ended.is_empty() && ended.iter().all(|it| is(&it.outcome));
        if all(|outcome| *outcome == Outcome::Ok) {
            // Nothing is lost, so there is nothing to wait for.
            self.compiler.send(move |compiler| ended.iter().for_each(|it| _ = compiler.settle(ticket, it)));
            return Ok(Settled::default());
        }
        let discarded = object.cached && all(|outcome| matches!(outcome, Outcome::LoadFailed(_)));
        let object = object.clone();
        let has_run = ended.iter().any(|it| it.outcome == Outcome::Ok);
        let is_lost = |ended: &RunEnded| matches!(ended.outcome, Outcome::TypesChanged(_));
        let settle = move |compiler: &mut Compiler| {
            if discarded {
                compiler.discard(&object);
            }
            let lost = ended.iter().map(|it| (it.member, is_lost(it), compiler.settle(ticket, it)));
            lost.filter(|(.., names)| !names.is_empty()).collect::<Vec<_>>()
        };
        let lost = self.with_compiler(settle).await?;
        // A cell can print anything, but only a variable that is there can be lost; so this comes to an end.
        let again = discarded || !has_run && lost.iter().any(|(_, of_types, _)| *of_types);
        Ok(Settled { lost: lost.into_iter().map(|(member, _, names)| (member, names)).collect(), again })
    }

    /// What the compiler has to say besides.
    pub(super) async fn say_all(&self, notices: &[String], request: &Request) {
        for notice in notices {
            request.publisher.say(notice).await;
        }
    }
}
