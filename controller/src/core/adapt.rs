//! How many engines there are, where that follows the work; and engines whose time is nearly over.

use super::engine::{Engine, State};
use super::{Action, Core, Stop};
use chorus_protocol::{Adapt, EngineId, SessionId, Variables};
use std::time::Duration;

/// Work has to wait for so long before more engines are started for it.
const PRESSED: Duration = Duration::from_secs(2);
/// So long before its end an engine gets nothing more.
const MARGIN: Duration = Duration::from_secs(60);

impl Core {
    /// From now on the number of engines follows the work, or doesn't any more.
    pub(super) fn adapt(&mut self, wanted: Option<Adapt>, actions: &mut Vec<Action>) -> Result<String, String> {
        let Some(Adapt { least, most, idle }) = wanted else {
            self.adapt = None;
            return Ok("the number of engines stays as it is".to_owned());
        };
        self.check_launches()?;
        if most == 0 || least > most {
            return Err(format!("`{least}:{most}` is no range of numbers: write the smaller one first, such as 0:8"));
        }
        let count = self.staying();
        if count < least {
            self.scale(least, actions)?;
        }
        self.adapt = Some(Adapt { least, most, idle });
        Ok(format!("from {least} to {most} engines, as there is work for them; {} now", count.max(least)))
    }

    /// Engines that don't leave, those included that are being started.
    pub(super) fn staying(&self) -> u32 {
        self.engines.values().filter(|it| !it.draining).count() as u32
    }

    /// What an engine's session holds.
    pub(super) fn holds(&mut self, id: EngineId, session: SessionId, variables: &Variables) {
        let Some(engine) = self.engines.get_mut(&id) else { return };
        match variables.told.is_empty() && variables.others == 0 {
            true => engine.holders.remove(&session),
            false => engine.holders.insert(session),
        };
    }

    /// Has more engines started if work waits for them, and lets those go that are of no use.
    pub(super) fn follow_work(&mut self, actions: &mut Vec<Action>) {
        let Some(Adapt { least, most, idle }) = self.adapt.filter(|_| self.stop == Stop::No) else { return };
        let (now, waiting) = (self.now, self.waiting());
        // Those in a queue may come at any time; others are about to.
        let comes = |it: &Engine| self.queue.is_none() && matches!(it.state, State::Starting { .. });
        let is_free = |it: &Engine| it.worker().is_some() && it.runs.is_empty();
        if waiting == 0 || self.engines.values().any(|it| is_free(it) || comes(it)) {
            self.pressed_since = None;
        } else if now.saturating_sub(*self.pressed_since.get_or_insert(now)) >= PRESSED {
            self.pressed_since = None;
            let count = self.staying();
            // Twice as many each time: short work is over before there are many.
            let more = u32::try_from(waiting).unwrap_or(u32::MAX).min(count.max(1)).min(most.saturating_sub(count));
            if more > 0 {
                let done = self.launch(self.pools.len() - 1, more, actions);
                self.log_of_its_own(format!("{done}, since work waits for engines"));
            }
        }
        let prepares = self.sessions.values().any(|session| session.prepares > 0);
        for engine in self.engines.values_mut() {
            let of_use = match engine.state {
                State::Starting { .. } => waiting > 0,
                // A session that was closed had its variables go with it.
                _ => {
                    prepares
                        || !engine.runs.is_empty()
                        || engine.holders.iter().any(|it| self.sessions.contains_key(it))
                }
            };
            match of_use {
                true => engine.idle_since = None,
                false => _ = engine.idle_since.get_or_insert(now),
            }
        }
        let limit = Duration::from_secs(idle.into());
        let idle = |it: &Engine| it.idle_since.is_some_and(|since| now.saturating_sub(since) >= limit);
        let leaving = self.engines.iter().rev().filter(|(_, it)| it.pool.is_some() && !it.draining && idle(it));
        let spare = self.staying().saturating_sub(least) as usize;
        let leaving: Vec<EngineId> = leaving.map(|(&id, _)| id).take(spare).collect();
        for id in leaving {
            self.drain(id, "there was nothing for it to do", true, actions);
        }
    }

    /// How many tasks and items wait for an engine, whichever.
    fn waiting(&self) -> u64 {
        let of_tasks = self.sessions.values().map(|session| session.tasks.ready_anywhere() as u64);
        let of_maps = self.sessions.values().flat_map(|session| session.maps.values()).map(|map| map.unbegun());
        of_tasks.chain(of_maps).fold(0, u64::saturating_add)
    }

    /// Engines that are about to be ended from outside get nothing more, and others take their place.
    pub(super) fn go_before_the_end(&mut self, actions: &mut Vec<Action>) {
        let now = self.now;
        let is_late = |it: &Engine| it.ends.is_some_and(|(from, until)| until <= now + MARGIN.min((until - from) / 10));
        let late = self.engines.iter().filter(|(_, it)| !it.draining && is_late(it));
        let late: Vec<(EngineId, Option<usize>)> = late.map(|(&id, it)| (id, it.pool)).collect();
        for (id, pool) in late {
            self.drain(id, "its time on its host is nearly over", false, actions);
            if let Some(pool) = pool.filter(|_| self.stop == Stop::No) {
                let done = self.launch(pool, 1, actions);
                self.log_of_its_own(format!("{done} for engine {id}, whose time is nearly over"));
            }
        }
    }
}
