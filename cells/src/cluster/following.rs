//! What a notebook hears of its cluster outside of runs: engines that come and go, workers that die, late output.

use super::{Away, Known};
use crate::compiler_thread::CompilerThread;
use crate::failure::{call_death_notice, death_notice, losses, restored_notice};
use chorus_client::{SessionEvent, SessionEvents};
use chorus_compiler::Member;
use chorus_protocol::{Aftermath, Death, EngineId};
use chorus_render::{Source, late};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Keeps the account of engines, tells the compiler what was lost, and publishes late output.
pub(super) async fn follow(
    mut events: SessionEvents,
    known: Arc<Mutex<Known>>,
    away: Arc<Away>,
    joins: watch::Sender<usize>,
    compiler: CompilerThread,
) {
    while let Some(event) = events.recv().await {
        match event {
            // [`super::Cluster::open`] took it.
            SessionEvent::Opened { .. } => {}
            SessionEvent::EngineUp { engine, info } => {
                let mut known = known.lock();
                known.infos.insert(engine, info);
                known.given_up.remove(&engine);
                let state = known.engines.entry(engine).or_default();
                (state.up, state.restarting) = (true, false);
                let joined = known.engines.values().filter(|state| state.up).count();
                drop(known);
                joins.send_replace(joined);
            }
            SessionEvent::EngineDown { engine, reason, restarting, quiet } => {
                let joined = {
                    let mut known = known.lock();
                    known.missed.remove(&engine);
                    if !restarting {
                        known.given_up.insert(engine);
                        known.why_given_up = Some(reason.clone());
                    }
                    if let Some(state) = known.engines.get_mut(&engine) {
                        (state.up, state.restarting) = (false, restarting);
                    }
                    known.engines.values().filter(|state| state.up).count()
                };
                end_bars(&known, engine, Death::EngineLost).await;
                let after = if restarting { "it is being started again" } else { "it won't come back by itself" };
                let what = format!("{}; {after}", loss(engine, &reason));
                lose(&known, &compiler, engine, (Death::EngineLost, None), move |lost, _| {
                    (!quiet).then(|| format!("{what}{}", losses(lost)))
                });
                joins.send_replace(joined);
            }
            SessionEvent::WorkerLost { engine, death, aftermath, generation, in_task } => {
                if let Some(state) = known.lock().engines.get_mut(&engine) {
                    state.generation = generation;
                }
                end_bars(&known, engine, death).await;
                if death == Death::EngineLost {
                    // Its `EngineDown` says so.
                    continue;
                }
                let who = format!("engine {engine}'s worker");
                match aftermath {
                    Aftermath::Lost(reason) if in_task => {
                        lose(&known, &compiler, engine, (death, Some(generation)), move |lost, _| {
                            (!lost.is_empty()).then(|| call_death_notice(&who, death, &reason, lost))
                        });
                    }
                    Aftermath::Restored => known.lock().notices.push(restored_notice(&who, death)),
                    Aftermath::Lost(reason) => {
                        lose(&known, &compiler, engine, (death, Some(generation)), move |lost, statics| {
                            (death != Death::Stopped).then(|| death_notice(&who, death, &reason, lost, statics))
                        });
                    }
                }
            }
            SessionEvent::LateOutput { run, engine, event } => {
                let publisher = known.lock().publishers.iter().find(|(of, _)| *of == run).map(|(_, p)| p.clone());
                known.lock().bars.entry(engine).or_default().see(&event);
                if let (Some(publisher), Some(output)) = (publisher, late(Source::Engine(engine), &event)) {
                    publisher.output(output).await;
                }
            }
            SessionEvent::ControllerAway { seconds } => away.begin(Duration::from_secs(seconds.into())),
            SessionEvent::ControllerBack => away.end(),
            SessionEvent::ControllerLost(_) => {
                away.give_up();
                end_all_bars(&known, Death::EngineLost).await;
                {
                    let mut known = known.lock();
                    known.missed.clear();
                    known.engines.values_mut().for_each(|state| (state.up, state.restarting) = (false, false));
                }
                // Whoever waits for engines needn't any more.
                joins.send_replace(0);
            }
        }
    }
    end_all_bars(&known, Death::Stopped).await;
}

/// The controller's sentence about a lost engine, behind what it comes to: the engine is named once.
fn loss(engine: EngineId, reason: &str) -> String {
    let gone = format!("engine {engine} is gone");
    match reason.strip_prefix(&format!("engine {engine} ")) {
        Some("is gone") => gone,
        Some(how) => format!("{gone}: it {how}"),
        None => format!("{gone}: {reason}"),
    }
}

fn lose(
    known: &Arc<Mutex<Known>>,
    compiler: &CompilerThread,
    engine: EngineId,
    (death, generation): (Death, Option<u32>),
    notice: impl Fn(&[String], &[String]) -> Option<String> + Send + 'static,
) {
    known.lock().notices_to_come += 1;
    let known = Arc::clone(known);
    compiler.send(move |compiler| {
        let lost = compiler.died(Member::Engine(engine), death, generation);
        let mut known = known.lock();
        known.notices_to_come -= 1;
        known.notices.extend(notice(&lost, &compiler.statics()));
    });
}

/// Nothing more is heard of any engine.
async fn end_all_bars(known: &Mutex<Known>, death: Death) {
    let engines: Vec<EngineId> = known.lock().bars.keys().copied().collect();
    for engine in engines {
        end_bars(known, engine, death).await;
    }
}

/// An engine's worker has died outside of runs: its bars say so.
async fn end_bars(known: &Mutex<Known>, engine: EngineId, death: Death) {
    let (last, publisher) = {
        let mut known = known.lock();
        let last = known.bars.get_mut(&engine).map(|bars| bars.end(death)).unwrap_or_default();
        (last, known.publishers.back().map(|(_, publisher)| publisher.clone()))
    };
    let Some(publisher) = publisher else { return };
    for output in last.iter().filter_map(|event| late(Source::Engine(engine), event)) {
        publisher.output(output).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_engine_is_named_once() {
        let of = |reason| loss(EngineId(1), reason);
        assert_eq!(of("engine 1 was killed by SIGKILL"), "engine 1 is gone: it was killed by SIGKILL");
        assert_eq!(of("engine 1 is gone"), "engine 1 is gone");
        assert_eq!(of("engine 12 said goodbye"), "engine 1 is gone: engine 12 said goodbye");
        assert_eq!(of("it was drained"), "engine 1 is gone: it was drained");
    }
}
