//! Who serves a map: engines are sent a run, and another one where a worker or an engine came back or joined, and what a run's
//! end means for the map.

use super::super::run::Plan;
use super::super::stream::Stream;
use super::Driver;
use crate::failure::Kind;
use chorus_compiler::{Member, RunEnded};
use chorus_magics::Targets;
use chorus_protocol::{Aftermath, Death, EngineId, Outcome, Target, name_engines};
use chorus_render::EngineState;
use px::link::{OnError, Serve};
use std::time::Duration;
use tokio::time::Instant;

/// How long a map waits for an engine when it has none.
const LONELY: Duration = Duration::from_secs(10);

/// An engine whose worker dies so often in a row, with nothing done in between, isn't asked again.
const DEATHS: u32 = 5;

/// And one whose own items are mapped is asked once more: which of them ends workers isn't known.
const EACH_DEATHS: u32 = 1;

impl Driver {
    /// Has an engine serve the map.
    pub(super) fn send(&mut self, engine: EngineId) {
        let generation = self.work.generation(engine, &self.cluster);
        let threads = self.work.options.threads.unwrap_or_else(|| self.cluster.share_of_cores(engine));
        let serve = Serve { threads, ..self.work.serve.clone() };
        let spec = self.work.spec(&serve, self.map.id(), &self.run);
        let mut run = self.cluster.session().run(spec, vec![Target { engine, generation }]);
        self.cluster.remember_publisher(run.id(), &self.run.plan.publisher);
        self.active.insert(engine, run.id());
        self.turns.insert(engine, self.turn);
        self.account.lock().view.engine(engine, EngineState::Busy);
        let sender = self.sender.clone();
        tokio::spawn(async move {
            while let Some(event) = run.next().await {
                if sender.send(event).await.is_err() {
                    return;
                }
            }
        });
    }

    /// A run has ended: if that wasn't because the map has, another one takes its place where that can be.
    pub(super) fn ended(&mut self, engine: EngineId, outcome: &Outcome, generation: u32) {
        settle(&self.run.plan, engine, outcome, generation);
        let each = self.work.options.each;
        if each && *outcome == Outcome::Ok {
            self.over = self.active.is_empty();
            return;
        }
        // All items are done, but results that were kept may have gone before they had their name.
        let had_kept = || self.work.options.keep && self.account.lock().view.has_done(engine);
        let is_gone = matches!(outcome, Outcome::Died(..) | Outcome::NoSuchEngine);
        if self.failed.is_some() || self.over && !(is_gone && had_kept()) {
            return;
        }
        let needs_variables = self.work.needs_variables();
        match outcome {
            Outcome::Ok if self.rests || self.turns.get(&engine) != Some(&self.turn) => self.look_around(),
            Outcome::Died(Death::Stopped, _) | Outcome::Cancelled => {
                let what = format!("{} was stopped", name_engines(&[engine]));
                self.fail(Kind::Interrupted, what);
            }
            // The controller says over which items, which ends the map.
            Outcome::Died(Death::Exit(_) | Death::NoInput, _)
                if !each && self.work.options.on_error == OnError::Stop => {}
            Outcome::Died(death @ Death::NoInput, _) if each => {
                let what = format!("{}'s worker {death}", name_engines(&[engine]));
                self.fail(Kind::StdinNotImplementedError, what);
            }
            Outcome::NoSuchEngine if each => {
                let what = format!("{} is gone, with the items that only it had", name_engines(&[engine]));
                self.fail(Kind::EnginesLost, what);
            }
            Outcome::Died(..) | Outcome::NoSuchEngine
                if self.work.options.keep && self.account.lock().view.has_done(engine) =>
            {
                let what = format!(
                    "{} died, and with it the results that it kept: those of other engines aren't all",
                    name_engines(&[engine])
                );
                self.fail(Kind::WorkerDied, what);
            }
            // Its variables are back, and nothing of them was mapped yet. But the others wait for it to keep their results, so it
            // mustn't do them behind what has been sent since.
            Outcome::Died(death, aftermath)
                if each
                    && (!self.work.options.keep || self.run.lock().ended.is_none())
                    && !matches!(death, Death::Exit(_))
                    && !matches!(aftermath, Aftermath::Lost(_))
                    && !self.account.lock().view.has_done(engine)
                    && self.deaths.get(&engine).is_none_or(|deaths| *deaths < EACH_DEATHS) =>
            {
                *self.deaths.entry(engine).or_default() += 1;
                self.send(engine);
            }
            Outcome::Died(death, _) if each => {
                let what = format!("{}'s worker {death}, with the items that only it had", name_engines(&[engine]));
                self.fail(Kind::WorkerDied, what);
            }
            Outcome::Died(Death::EngineLost, _) | Outcome::NoSuchEngine if needs_variables => {
                self.barred.insert(engine);
            }
            // It is sent again when the engine is there again.
            Outcome::Died(Death::EngineLost, _) | Outcome::NoSuchEngine => {}
            Outcome::Died(_, Aftermath::Lost(_)) if needs_variables => _ = self.barred.insert(engine),
            Outcome::Died(..) | Outcome::Stale => {
                let deaths = self.deaths.entry(engine).or_default();
                *deaths += 1;
                if *deaths >= DEATHS {
                    self.barred.insert(engine);
                } else {
                    self.send(engine);
                }
            }
            Outcome::LoadFailed(reason) => self.fail(Kind::LoadFailed, reason.clone()),
            Outcome::Ok | Outcome::Panicked | Outcome::ReturnedError | Outcome::TypesChanged(_) => {
                let why = self.panic.as_ref().map(|(panic, _)| format!(": {}", panic.message)).unwrap_or_default();
                let what = format!("engine {engine}'s part of the map ended before its items did{why}");
                self.fail(Kind::MapError, what);
            }
        }
    }

    /// Engines come and go.
    pub(super) fn look_around(&mut self) {
        // What is to end was told to, which arrives when there is a controller again.
        if self.failed.is_some() && self.kill_at.is_none() && self.cluster.away().is_gone() {
            self.active.clear();
        }
        if self.over || self.failed.is_some() {
            return;
        }
        let up = self.cluster.engines();
        let wanted = match &self.work.options.targets {
            targets if *targets == Targets::all() => up,
            // Some of them may be away for a moment.
            targets => targets.resolve(&up).unwrap_or_default(),
        };
        let needs_variables = self.work.needs_variables();
        // A map that rests does what came back, if that is waited for.
        let is_owed = || self.account.lock().stream.as_ref().is_some_and(Stream::is_owed);
        if self.rests && !(self.active.is_empty() && is_owed()) {
            self.alone_since = None;
            return;
        }
        for engine in wanted {
            let knows = !needs_variables || self.deaths.contains_key(&engine);
            if !self.active.contains_key(&engine)
                && !self.barred.contains(&engine)
                && self.work.can_run_on(engine, &self.cluster)
                && knows
                && !self.work.options.each
            {
                self.send(engine);
            }
        }
        if !self.active.is_empty() {
            self.alone_since = None;
            return;
        }
        let since = *self.alone_since.get_or_insert_with(Instant::now);
        if since.elapsed() > LONELY || needs_variables {
            let barred: Vec<EngineId> = self.barred.iter().copied().collect();
            let barred = match barred.as_slice() {
                [] => String::new(),
                some => format!(
                    " (given up after {DEATHS} deaths in a row, or with variables lost: {})",
                    name_engines(some)
                ),
            };
            let what = format!("no engine is left that could go on with the map{barred}; `%cluster status` shows them");
            self.fail(Kind::EnginesLost, what);
        }
    }
}

/// Tells the compiler what a run's end means for the engine's variables.
pub(in crate::jobs) fn settle(plan: &Plan, engine: EngineId, outcome: &Outcome, generation: u32) {
    let ended = RunEnded { member: Member::Engine(engine), outcome: outcome.clone(), generation };
    let ticket = plan.half.as_ref().map(|half| half.ticket);
    plan.compiler.send(move |compiler| match (ticket, &ended.outcome) {
        (Some(ticket), _) => _ = compiler.settle(ticket, &ended),
        (None, &Outcome::Died(death, Aftermath::Lost(_))) => {
            _ = compiler.died(ended.member, death, Some(generation));
        }
        (None, _) => {}
    });
}
