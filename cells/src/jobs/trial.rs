//! The first items of a map that GPUs may work at, tried on a processor, so that `--gpu=auto` can choose.
//!
//! They are called once more when the map has begun. That changes nothing but the time: what compiles for a GPU can't reach
//! files, output or the notebook, and has no effect besides its result, unless it changes a static.

use super::choice::{Facts, Sample};
use super::job::OnGpus;
use super::map::{Work, settle};
use super::run::CellRun;
use crate::cluster::Cluster;
use chorus_client::Run;
use chorus_protocol::{EngineId, MapEvent, MapSpec, RunEvent, Target};
use px::link::{MapAsk, OnError, Serve};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How long items are tried. One that takes longer isn't ended: its engine takes part in the map when it is done.
const LIMIT: Duration = Duration::from_millis(50);
/// How long an engine may take to begin. It is busy then, and would be busy with the map as well.
const BEGINNING: Duration = Duration::from_secs(2);
/// The most items that are tried.
const MOST: u64 = 1 << 18;

/// Whether GPUs are to work, of which so many would, and the line that says why.
pub(super) async fn choose(
    work: &Work,
    ask: &MapAsk,
    targets: &[EngineId],
    gpus: u32,
    code: &OnGpus,
    (run, cluster): (&Arc<CellRun>, &Arc<Cluster>),
) -> (bool, String) {
    // The GPUs of the others can begin, should an item take long.
    let last = targets.iter().max_by_key(|engine| (!cluster.has_gpu(**engine), **engine));
    let sample = match last {
        Some(engine) if ask.items > 0 => measure(work, ask.items, *engine, run, cluster).await,
        _ => return (false, "--gpu=auto: on the processors, since there are no items.".to_owned()),
    };
    let Some(sample) = sample else {
        let what =
            "--gpu=auto: by GPUs, since the engine that was to measure what an item takes on a processor is busy.";
        return (true, what.to_owned());
    };
    let facts = Facts {
        items: ask.items,
        item_bytes: code.layout.item.0,
        result_bytes: code.layout.result.0,
        sample,
        cores: targets.iter().map(|engine| cluster.share_of_cores(*engine)).sum(),
        gpus,
        is_loaded: code.ran.load(Ordering::Relaxed),
    };
    (facts.estimate().is_for_gpus(), facts.sentence())
}

/// What the first items take on this engine; `None` if it didn't begin.
async fn measure(
    work: &Work,
    items: u64,
    engine: EngineId,
    run: &Arc<CellRun>,
    cluster: &Arc<Cluster>,
) -> Option<Sample> {
    let session = cluster.session();
    let spec = MapSpec { items: Some(items.min(MOST)), chunk: None, retries: 0, goes_on: true };
    let mut map = session.open_map(spec);
    // An item that fails takes its time, too, and what is wrong with it the map will say.
    let quiet = Serve { threads: 1, retries: 0, on_error: OnError::Skip, timeout: 0, gpu: None, ..work.serve.clone() };
    let target = Target { engine, generation: work.generation(engine, cluster) };
    let mut served = session.run(work.spec(&quiet, map.id(), run), vec![target]);
    let (mut begun, mut sample, mut is_served) = (None, Sample::default(), false);
    let mut until = Instant::now() + BEGINNING;
    loop {
        tokio::select! {
            event = map.next() => match event {
                Some((_, MapEvent::Done(reports))) => for report in reports {
                    sample.items += report.count;
                    sample.time += Duration::from_micros(report.micros);
                },
                Some((_, MapEvent::GivenUp { .. } | MapEvent::Over)) | None => break,
            },
            event = served.next(), if !is_served => match event {
                Some((_, event)) => {
                    hear(engine, &event, run, cluster);
                    if matches!(event, RunEvent::Started(_)) {
                        (begun, until) = (Some(Instant::now()), Instant::now() + LIMIT);
                    }
                }
                // What it did may be told a moment later.
                None => is_served = true,
            },
            () = sleep_until(until) => break,
        }
    }
    map.close();
    tokio::spawn(follow(served, engine, Arc::clone(run), Arc::clone(cluster)));
    let begun = begun?;
    if sample.items == 0 {
        sample.time = begun.elapsed();
    }
    Some(sample)
}

/// Hears of the run's end, whenever that comes: a worker that died of an item may have lost variables.
async fn follow(mut served: Run, engine: EngineId, run: Arc<CellRun>, cluster: Arc<Cluster>) {
    while let Some((_, event)) = served.next().await {
        hear(engine, &event, &run, &cluster);
    }
}

fn hear(engine: EngineId, event: &RunEvent, run: &CellRun, cluster: &Cluster) {
    cluster.see(engine, event);
    if let RunEvent::Done { outcome, generation, .. } = event {
        settle(&run.plan, engine, outcome, *generation);
    }
}
