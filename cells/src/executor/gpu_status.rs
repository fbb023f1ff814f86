//! `%gpu`.

use super::{Executor, Request};
use crate::cluster::Cluster;
use crate::failure::Failure;
use chorus_compiler::CacheConfig;
use chorus_engine::gpu::{Told, ask};
use chorus_gpu::toolchain::built_bytes;
use chorus_protocol::{EngineId, size};
use chorus_render::{Gpu, HasGpu, gpus};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::task::JoinSet;

/// How long the processes that have GPUs may take to answer. They do so at once, unless they are being started.
const LIMIT: Duration = Duration::from_secs(3);

impl Executor {
    pub(super) async fn gpu_command(&mut self, request: &Request) -> Result<(), Failure> {
        let mut lines = Vec::new();
        let engines = match self.engines.current() {
            Some(cluster) => ask_all(&cluster).await,
            None => {
                lines.push("no cluster; `%cluster start` or any %px cell starts one".to_owned());
                Vec::new()
            }
        };
        let engines: Vec<(EngineId, HasGpu)> =
            engines.into_iter().map(|(engine, told)| (engine, shown(told))).collect();
        let (cache, core) = (self.config.cache.clone(), self.config.gpu.clone());
        let kept = tokio::task::spawn_blocking(move || kept(cache.as_ref(), &core)).await;
        lines.extend(kept.unwrap_or_default());
        request.publisher.display(gpus(&engines, &lines)).await;
        Ok(())
    }
}

/// What is on disk for GPUs. What can't be read isn't told.
fn kept(cache: Option<&CacheConfig>, core: &Path) -> Vec<String> {
    let functions = cache.and_then(|cache| cache.info().ok()).map(|info| {
        let (count, bytes) = (info.gpu_functions, size(info.gpu_bytes));
        format!("kept on disk: {count} functions and kernels' modules, {bytes}")
    });
    let core = match built_bytes(core) {
        0 => None,
        bytes => Some(format!("built from source: Rust's core library for GPUs, {}", size(bytes))),
    };
    functions.into_iter().chain(core).collect()
}

/// What each engine has: nothing, or what is told of its GPU, in the order of the engines.
pub(super) async fn ask_all(cluster: &Cluster) -> Vec<(EngineId, Option<Result<Told, String>>)> {
    let mut asked = JoinSet::new();
    let mut all = Vec::new();
    for engine in cluster.engines() {
        match cluster.gpu(engine) {
            Some(socket) => _ = asked.spawn(ask_one(engine, socket)),
            None => all.push((engine, None)),
        }
    }
    while let Some(told) = asked.join_next().await {
        all.extend(told.map(|(engine, told)| (engine, Some(told))));
    }
    all.sort_by_key(|(engine, _)| *engine);
    all
}

async fn ask_one(engine: EngineId, socket: PathBuf) -> (EngineId, Result<Told, String>) {
    let told = tokio::task::spawn_blocking(move || ask(&socket, LIMIT)).await;
    (engine, told.unwrap_or_else(|error| Err(error.to_string())))
}

fn shown(told: Option<Result<Told, String>>) -> HasGpu {
    match told {
        None => HasGpu::No,
        Some(Err(why)) => HasGpu::Failed(why),
        Some(Ok(Told { state, is_busy, .. })) => HasGpu::Yes(Gpu {
            number: state.number,
            name: state.name,
            driver: state.driver,
            capability: state.capability,
            memory: (state.free, state.total),
            held: state.held,
            is_busy,
        }),
    }
}
