//! Maps of a cell's own Rust that GPUs run, `px::map(f, &xs).gpu()`: what was compiled for them with the cell is found by
//! the place of the word that says it.

use super::job::{ByGpus, MapOptions, OnGpus};
use super::run::CellRun;
use crate::cluster::Cluster;
use crate::executor::{NO_GPU, NONE, count, without_gpu};
use crate::failure::Kind;
use chorus_protocol::EngineId;
use px::link::GpuWish;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A place in the notebook: the cell's execution count, line and column.
type Place = (u32, usize, usize);

/// What GPUs run, by the place of the word that says it, or why they don't.
pub type ByPlace = BTreeMap<Place, Result<Arc<OnGpus>, String>>;

/// How GPUs take part in a map that asks for them. An error is a sentence.
pub(super) async fn wished(
    wish: GpuWish,
    options: &MapOptions,
    targets: &[EngineId],
    run: &CellRun,
    cluster: &Cluster,
) -> Result<Option<ByGpus>, String> {
    let place = run.object.source.place(wish.line, wish.column);
    let found = place.and_then(|place| run.plan.on_gpus.get(&(place.cell, place.line, place.column)));
    let Some(found) = found else {
        return Err(
            "its function wasn't compiled for GPUs with this cell, since it wasn't seen there; nothing was mapped: \
                    run the cell that defines it again"
                .to_owned(),
        );
    };
    let with_gpu: Vec<EngineId> = targets.iter().copied().filter(|engine| cluster.has_gpu(*engine)).collect();
    let code = match found {
        Ok(code) => Arc::clone(code),
        Err(why) => {
            on_processors(why, options, run).await;
            return Ok(None);
        }
    };
    // Nobody else has their items.
    let lacks = options.each && with_gpu.len() < targets.len();
    match wish.or_cpu {
        false if with_gpu.is_empty() => Err(NONE.replace("--gpu=auto", "gpu_or_cpu()")),
        false if lacks => Err(without_gpu(Kind::MapError, targets, cluster).sentence()),
        false => Ok(Some(ByGpus { code, if_faster: None })),
        true if with_gpu.is_empty() || lacks => {
            on_processors(NO_GPU, options, run).await;
            Ok(by_processors(&code).map(|code| ByGpus { code, if_faster: None }))
        }
        true => {
            let if_faster = if options.each { None } else { Some(count(cluster, &with_gpu).await) };
            Ok(Some(ByGpus { code, if_faster }))
        }
    }
}

/// The library with which processors have a GPU's bits, if they have others by themselves.
fn by_processors(code: &OnGpus) -> Option<Arc<OnGpus>> {
    let module = code.by_processors.clone()?;
    Some(Arc::new(OnGpus { module, by_processors: None, layout: code.layout, ran: false.into() }))
}

async fn on_processors(why: &str, options: &MapOptions, run: &CellRun) {
    // Of a stream of what engines have, each has a map.
    if options.progress_after.is_some() {
        run.plan.publisher.say(&format!("gpu_or_cpu: on the processors, since {why}.")).await;
    }
}
