//! Runs one compiled cell on engines, and shows what comes back.

use crate::cluster::{Cluster, ClusterError};
use crate::interrupt::Interrupted;
use crate::places::place_of;
use crate::publisher::Publisher;
use bytes::Bytes;
use chorus_client::Run;
use chorus_compiler::{Member, Object, RunEnded};
use chorus_magics::PxOptions;
use chorus_protocol::{
    Aftermath, EngineId, Entry, Outcome, RunEvent, RunSpec, SnapshotPolicy, Target, Took, name_engines,
};
use chorus_render::{Output, PxView, ViewOptions, duration};
use chorus_system::signal;
use futures::FutureExt;
use parking_lot::{Mutex, MutexGuard};
use px::group::{Stretch, encode_lines};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};

/// A part of a line is shown when nothing more has come for it in this time.
const PARTIAL_LINE: Duration = Duration::from_millis(100);

/// Output that is published at once, in bytes.
const BATCH: usize = 128 << 10;

/// Between two updates of the progress.
const PROGRESS: Duration = Duration::from_millis(500);

/// How long an interrupted cell may take to end by itself.
const PATIENCE: Duration = Duration::from_millis(400);

/// How long engines that were told to end a cell at once are waited for, until it is asked whether they can be reached.
const REACH: Duration = Duration::from_secs(2);

/// A parallel cell, while it runs and after.
#[derive(Clone, Debug)]
pub struct PxCell {
    view: Arc<Mutex<PxView>>,
    finished: watch::Receiver<bool>,
}

impl PxCell {
    #[cfg(test)]
    pub(crate) fn ended() -> PxCell {
        let view = PxView::new(&[], ViewOptions::streaming(0));
        PxCell { view: Arc::new(Mutex::new(view)), finished: watch::channel(true).1 }
    }

    /// What it showed, or is going to.
    pub fn view(&self) -> MutexGuard<'_, PxView> {
        self.view.lock()
    }

    /// Returns when all engines are done.
    pub async fn finished(&self) {
        // When the sender is gone, so is the run.
        let _ = self.finished.clone().wait_for(|finished| *finished).await;
    }
}

/// A run that was sent.
pub struct Sent {
    run: Run,
    object: Object,
    targets: Vec<EngineId>,
    view: Arc<Mutex<PxView>>,
    finish: watch::Sender<bool>,
    count: u32,
    /// How engines ended before it was left alone.
    ended: Vec<RunEnded>,
}

/// How a run is followed.
pub enum Followed {
    /// All engines are done.
    Finished {
        /// How each ended.
        ended: Vec<RunEnded>,
        /// Whether the user ended it.
        interrupted: bool,
        /// What it took: on the clock the slowest engine, of the processors all engines together.
        took: Took,
    },
    /// The user stopped waiting; it goes on.
    Detached {
        /// What goes on.
        sent: Box<Sent>,
        /// Why it couldn't be ended, if it was to be.
        why: Option<String>,
    },
}

/// What goes to engines along with an object.
pub struct Along<'a> {
    /// See [`RunSpec::argument`].
    pub argument: Vec<u8>,
    /// See [`RunSpec::label`].
    pub label: &'a str,
    /// See [`RunSpec::snapshots`].
    pub snapshots: SnapshotPolicy,
}

/// Sends an object to engines.
pub async fn send(
    cluster: &Cluster,
    object: &Object,
    targets: &[EngineId],
    options: &PxOptions,
    Along { argument, label, snapshots }: Along<'_>,
    publisher: &Publisher,
) -> Result<(Sent, PxCell), ClusterError> {
    let (preload, blob) = cluster.put_object(object).await?;
    let count = publisher.count();
    // What is given something is one of ours, and does nothing together.
    let together = argument.is_empty().then(|| lines(object, count));
    let generation = |engine| object.needs_variables.then(|| cluster.generation(engine));
    let spec = RunSpec {
        preload,
        object: blob.id(),
        entry: Entry::Cell(object.entry.clone()),
        argument: argument.into(),
        together,
        map: None,
        label: label.to_owned(),
        snapshots,
    };
    let to = targets.iter().map(|&engine| Target { engine, generation: generation(engine) }).collect();
    let run = cluster.session().run(spec, to);
    cluster.remember_publisher(run.id(), publisher);
    let stream = options.config.stream && options.config.block;
    let view = PxView::new(
        targets,
        ViewOptions {
            // What nobody waits for is shown by %pxresult.
            stream,
            grouping: options.config.grouping,
            each: options.config.each,
            has_result: object.has_result,
            count,
        },
    );
    let view = if stream && targets.len() > 1 { view.with_bars_in_progress() } else { view };
    let view = Arc::new(Mutex::new(view));
    let (finish, finished) = watch::channel(false);
    let cell = PxCell { view: Arc::clone(&view), finished };
    Ok((Sent { run, object: object.clone(), targets: targets.to_vec(), view, finish, count, ended: Vec::new() }, cell))
}

/// Where the object's source has the lines of cells, of which the one that runs has this execution count. See
/// [`RunSpec::together`].
pub fn lines(object: &Object, count: u32) -> Bytes {
    let stretch = |[first, lines, cell, line]: [u32; 4]| {
        let cell = if cell == count { 0 } else { cell };
        Stretch { first, count: lines, cell, line }
    };
    encode_lines(&object.source.stretches().into_iter().map(stretch).collect::<Vec<_>>()).into()
}

impl Sent {
    /// Shows what the engines do until all are done. `held` are the variables of each, which a death would lose.
    pub async fn follow(
        mut self,
        cluster: &Cluster,
        options: &PxOptions,
        held: &BTreeMap<EngineId, Vec<String>>,
        publisher: &Publisher,
        interrupted: &mut Interrupted,
    ) -> Followed {
        let started = Instant::now();
        let mut waiting: BTreeSet<EngineId> = self.targets.iter().copied().collect();
        let mut all_took = Took::default();
        let mut partial = Instant::now();
        let (mut kill_at, mut reach_at) = (None, None);
        let mut was_interrupted = false;
        let mut detached = None;
        let progress_at = options.config.progress_after.map(|after| started + after);
        let mut progress = interval_at(progress_at.unwrap_or(started) + Duration::from_millis(1), PROGRESS);
        progress.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let display = format!("chorus-px-{}-{}", cluster.name(), self.run.id());
        let mut progress_shown = false;
        while !waiting.is_empty() {
            let has_partial = self.view.lock().has_partial();
            tokio::select! {
                event = self.run.next() => {
                    let Some(first) = event else { break };
                    // What else is there goes along: a cell may print faster than one message a line can be shown.
                    let (mut next, mut weight, mut outputs) = (Some(first), 0, Vec::new());
                    while let Some((engine, event)) = next {
                        weight += event.weight();
                        outputs.extend(self.see(engine, &event, cluster.see(engine, &event)));
                        if let RunEvent::Done { outcome, generation, took } = event {
                            waiting.remove(&engine);
                            all_took.wall = all_took.wall.max(took.wall);
                            all_took.user += took.user;
                            all_took.system += took.system;
                            if let (Outcome::Died(_, Aftermath::Lost(_)), Some(variables)) = (&outcome, held.get(&engine)) {
                                self.view.lock().lost(engine, variables.clone());
                            }
                            self.ended.push(RunEnded { member: Member::Engine(engine), outcome, generation });
                        }
                        next = if weight < BATCH { self.run.next().now_or_never().flatten() } else { None };
                    }
                    let news = {
                        let mut view = self.view.lock();
                        view.has_news_of_bars().then(|| view.progress(started.elapsed()))
                    };
                    if let Some(bundle) = news {
                        publisher.update(&display, !progress_shown, bundle).await;
                        progress_shown = true;
                    }
                    publisher.outputs(outputs).await;
                    partial = Instant::now() + PARTIAL_LINE;
                }
                () = sleep_until(partial), if has_partial => {
                    let outputs = self.view.lock().flush_partial();
                    publisher.outputs(outputs).await;
                }
                _ = progress.tick(), if progress_at.is_some() => {
                    let bundle = self.view.lock().progress(started.elapsed());
                    publisher.update(&display, !progress_shown, bundle).await;
                    progress_shown = true;
                }
                news = cluster.away().news(self.count) => publisher.warn(&news).await,
                () = interrupted.next() => {
                    let engines: Vec<EngineId> = waiting.iter().copied().collect();
                    // A second interrupt is serious.
                    let signal = if was_interrupted { signal::KILL } else { options.config.signal_on_interrupt.0 };
                    let away = cluster.away();
                    // Nobody is there to send one.
                    if signal == 0 || away.is_gone() {
                        detached = Some(away.is_gone().then(|| away.left_alone()));
                        break;
                    }
                    self.view.lock().interrupted();
                    cluster.session().interrupt(engines, signal);
                    was_interrupted = true;
                    reach_at = (signal == signal::KILL).then(|| Instant::now() + REACH);
                    // The default has to end the cell; whoever chose a signal wants what it does.
                    kill_at = (signal == signal::INTERRUPT).then(|| Instant::now() + PATIENCE);
                }
                () = sleep_until(kill_at.unwrap_or(started)), if kill_at.is_some() => {
                    (kill_at, reach_at) = (None, Some(Instant::now() + REACH));
                    cluster.session().interrupt(waiting.iter().copied().collect(), signal::KILL);
                }
                () = sleep_until(reach_at.unwrap_or(started)), if reach_at.is_some() => {
                    reach_at = Some(Instant::now() + REACH);
                    if out_of_reach(cluster, &waiting).await {
                        detached = Some(Some(left_alone(&waiting)));
                        break;
                    }
                }
            }
        }
        if let Some(why) = detached {
            if progress_shown {
                let bundle = self.view.lock().last_progress(started.elapsed(), true);
                publisher.update(&display, false, bundle).await;
            }
            return Followed::Detached { sent: Box::new(self), why };
        }
        let ended = std::mem::take(&mut self.ended);
        if progress_shown {
            let bundle = self.view.lock().last_progress(started.elapsed(), false);
            publisher.update(&display, false, bundle).await;
            // For front ends that draw no updates. A failure has lines of its own.
            if ended.iter().all(|ended| ended.outcome == Outcome::Ok) {
                publisher.say(&format!("px: done in {}", duration(started.elapsed()))).await;
            }
        }
        self.finish.send_replace(true);
        Followed::Finished { ended, interrupted: was_interrupted, took: all_took }
    }

    /// `before` are to be taken for events before this one.
    fn see(&self, engine: EngineId, event: &RunEvent, before: Vec<RunEvent>) -> Vec<Output> {
        let mut view = self.view.lock();
        let mut outputs = Vec::new();
        for event in before {
            outputs.extend(view.event(engine, &event, None));
        }
        outputs.extend(view.event(engine, event, place_of(event, &self.object, self.count)));
        outputs
    }

    /// Keeps what the engines put out for `%pxresult`, and calls `settle` when an engine's has ended.
    pub async fn keep(mut self, cluster: Arc<Cluster>, settle: impl AsyncFn(RunEnded) -> Vec<String>) {
        for ended in std::mem::take(&mut self.ended) {
            settle(ended).await;
        }
        while let Some((engine, event)) = self.run.next().await {
            self.see(engine, &event, cluster.see_late(engine, &event));
            if let RunEvent::Done { outcome, generation, .. } = event {
                let died = matches!(outcome, Outcome::Died(_, Aftermath::Lost(_)));
                let lost = settle(RunEnded { member: Member::Engine(engine), outcome, generation }).await;
                if died {
                    self.view.lock().lost(engine, lost);
                }
            }
        }
        self.finish.send_replace(true);
    }
}

/// Whether none of these engines can be reached.
async fn out_of_reach(cluster: &Cluster, engines: &BTreeSet<EngineId>) -> bool {
    let Ok(Ok(status)) = timeout(REACH, cluster.status()).await else { return false };
    let away: BTreeSet<EngineId> = status.engines.iter().filter(|it| it.away).map(|it| it.id).collect();
    !engines.is_empty() && engines.is_subset(&away)
}

/// Why a cell isn't waited for any more that was to end on these engines.
fn left_alone(engines: &BTreeSet<EngineId>) -> String {
    let engines: Vec<EngineId> = engines.iter().copied().collect();
    format!(
        "{} can't be reached. There the cell ends when they are back, or given up; %pxresult shows what came of it",
        name_engines(&engines)
    )
}
