//! What becomes of a cell that was compiled, and what the compiler is told of its run.

use super::{Executor, Request};
use crate::failure::{Failure, outdated_notice};
use chorus_compiler::{
    CompiledCell, Compiler, Diagnostic, Failure as CompileFailure, Member, Object, RunEnded, Ticket,
};
use chorus_protocol::Outcome;
use std::time::Duration;

/// What is to run, and the ticket by which the compiler hears how it ended.
pub(super) type ToRun = (Object, Ticket);

/// What the compiler has to say of a cell besides.
pub(super) struct ToSay {
    notices: Vec<String>,
    warnings: Vec<Diagnostic>,
}

impl ToSay {
    /// Of a cell that is compiled once more: it will be warned of the same.
    pub(super) fn before_again(self) -> ToSay {
        ToSay { warnings: Vec::new(), ..self }
    }
}

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
    /// What is to run of a cell that took so long to compile, and what is to be said of it then.
    pub(super) fn compiled(
        &mut self,
        compiled: Result<CompiledCell, CompileFailure>,
        took: Duration,
    ) -> Result<(Option<ToRun>, ToSay), CompileFailure> {
        self.spent.compiling(took);
        let CompiledCell { run, outdated, notices, warnings } = compiled?;
        let notices = notices.into_iter().chain(outdated_notice(&outdated)).collect();
        Ok((run, ToSay { notices, warnings }))
    }

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

    /// See [`ToSay`].
    pub(super) async fn say_all(&self, ToSay { notices, warnings }: &ToSay, request: &Request) {
        for notice in notices {
            request.publisher.say(notice).await;
        }
        for warning in warnings {
            request.publisher.warn(warning.render(false).trim_end()).await;
        }
    }
}
