//! Rust for the notebook's own worker.

use super::{Done, Executor, Next, Request, Visit, commands_first};
use crate::failure::Failure;
use crate::generated::to_users_lines;
use crate::jobs::{Half, Job, MapOptions, Plan};
use crate::local::Ended;
use chorus_compiler::{CellText, EnginesHave, Member, RunEnded};
use chorus_magics::rust::Text;
use chorus_protocol::Outcome;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Executor {
    pub(super) async fn rust(&mut self, text: &str, first_line: usize, request: &Request) -> Done {
        let plan = self.plan(MapOptions::default(), None, request);
        self.rust_by_plan(plan, text, first_line, None, request).await.0
    }

    /// What a cell of the notebook that is about to run is about.
    pub(super) fn plan(&self, options: MapOptions, half: Option<Arc<Half>>, request: &Request) -> Plan {
        Plan {
            engines: self.engines.clone(),
            compiler: self.compiler.clone(),
            publisher: request.publisher.clone(),
            interrupted: request.interrupted.clone(),
            options,
            half,
            snapshots: self.snapshots,
            partial: None,
            argument: Vec::new(),
            compiled: Duration::ZERO,
        }
    }

    /// Rust for the notebook's own worker, and the map that it started, if it started one.
    pub(super) async fn rust_by_plan(
        &mut self,
        plan: Plan,
        text: &str,
        first_line: usize,
        generated: Option<&Text>,
        request: &Request,
    ) -> (Done, Option<Arc<Job>>) {
        let mut map = None;
        let done = self.rust_run(plan, text, first_line, generated, request, &mut map).await;
        (done, map)
    }

    async fn rust_run(
        &mut self,
        plan: Plan,
        text: &str,
        first_line: usize,
        generated: Option<&Text>,
        request: &Request,
        map: &mut Option<Arc<Job>>,
    ) -> Done {
        let (text, count): (Arc<str>, _) = (text.into(), request.publisher.count());
        let users = generated.map_or(CellText::ALL, Text::users);
        let explain = |failure| match generated {
            Some(text) => to_users_lines(text, failure, &request.code),
            None => failure,
        };
        let mut commands_have_run = false;
        // What a run that came to nothing has cost, as its variables were of redefined types.
        let mut lost = Vec::new();
        let (run, failed) = loop {
            // If there can be none, nothing is compiled. It isn't held yet, since a command may end it.
            self.local_worker().await?;
            let (text, whole, is_users) = (Arc::clone(&text), Arc::clone(&request.code), generated.is_none());
            let engines = self.engines.current().map_or_else(Vec::new, |cluster| cluster.engines());
            let visit = self.compile(request, move |compiler| {
                let cell = CellText { text: &text, count, first_line, cell: &whole, users };
                if let Some(replies) = commands_first(compiler, cell, &[Member::Local], commands_have_run)? {
                    return Ok(Visit::Commands(replies));
                }
                let engines_have = match is_users {
                    true => compiler.check_engine_variables(cell, &engines)?,
                    false => EnginesHave::default(),
                };
                let variables: Vec<String> = compiler.namespaces().variables(Member::Local).into_keys().collect();
                let began = Instant::now();
                Ok(Visit::Compiled((
                    compiler.compile(cell, &[Member::Local]),
                    variables,
                    engines_have,
                    began.elapsed(),
                )))
            });
            let (compiled, variables, engines_have, took) = match visit.await?.map_err(explain)? {
                Visit::Compiled(compiled) => compiled,
                Visit::Commands(replies) => {
                    if self.obey(replies, request).await == Next::Quit {
                        return Ok(Next::Quit);
                    }
                    commands_have_run = true;
                    continue;
                }
            };
            let (run, to_say) = self.compiled(compiled, took).map_err(explain)?;
            let Some((object, ticket)) = run else {
                self.say_all(&to_say, request).await;
                return Ok(Next::Continue);
            };
            let local = self.local_worker().await?;
            let run = self.jobs.begin(plan.clone(), &object, engines_have, took);
            let (begun, during) = (Instant::now(), self.during());
            let Ended { outcome, generation, took, failure } =
                local.lock().await.run(&run, variables.clone(), &request.front_end).await;
            drop(during);
            self.spent.ran(begun.elapsed(), took, 0);
            *map = run.map();
            let ended = vec![RunEnded { member: Member::Local, outcome, generation }];
            let settled = self.settle(&object, ticket, ended).await?;
            let to_say = if settled.again { to_say.before_again() } else { to_say };
            self.say_all(&to_say, request).await;
            lost.extend(settled.lost.into_iter().flat_map(|(_, names)| names));
            if !settled.again {
                break (run, failure);
            }
        };
        self.take_over(run.take_defined(), request).await?;
        let Some(mut failed) = failed else { return Ok(Next::Continue) };
        let panicked = |failed: &Failure| matches!(failed, Failure::Run(run) if run.outcome == Outcome::Panicked && run.panic.is_some());
        // A map's failure that the cell has handled isn't what ended it.
        if let Some(cause) = run.take_failure().filter(|_| !panicked(&failed)) {
            return Err(cause.with_what_ended(&failed));
        }
        if let Failure::Run(run) = &mut failed
            && run.lost.is_empty()
        {
            // A panic may lose what the cell defined anew.
            run.lost = lost;
        }
        Err(failed)
    }
}
