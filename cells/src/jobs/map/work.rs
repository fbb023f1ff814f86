//! What a map has its engines run.

use super::super::job::MapOptions;
use super::super::run::CellRun;
use crate::cluster::Cluster;
use chorus_client::Blob;
use chorus_compiler::Object;
use chorus_protocol::{BlobId, EngineId, Entry, MapId, RunSpec};
use px::link::{Access, GpuServe, MapAsk, Message as _, Serve};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What is sent to each engine.
pub(in crate::jobs) struct Work {
    pub(super) object: Object,
    blob: Blob,
    preload: Vec<BlobId>,
    entry: Entry,
    pub(in crate::jobs) serve: Serve,
    pub(super) options: Arc<MapOptions>,
}

impl Work {
    pub(super) async fn new(
        ask: &MapAsk,
        options: &Arc<MapOptions>,
        run: &CellRun,
        cluster: &Cluster,
    ) -> Result<Work, String> {
        let (object, entry) = match run.plan.half.as_ref().filter(|_| ask.object.is_empty()) {
            Some(half) => {
                half.used.store(true, Ordering::Release);
                (half.object.clone(), Entry::Cell(half.object.entry.clone()))
            }
            None if run.object.path == Path::new(&ask.object) => {
                let access = ask.wishes.as_ref().map(|wishes| wishes.access).unwrap_or_default();
                (run.object.clone(), entry(ask.function, access))
            }
            None => {
                let runs = run.object.path.display();
                return Err(format!(
                    "the function is in the object {}, and not in that of the cell that runs, {runs}",
                    ask.object
                ));
            }
        };
        let (preload, blob) = cluster.put_object(&object).await.map_err(|error| error.to_string())?;
        let timeout = options.timeout.map_or(0, |limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1));
        let serve = Serve {
            rooms: ask.rooms.clone(),
            input: ask.input.clone(),
            constants: ask.constants.clone(),
            retries: options.retries.unwrap_or(0),
            on_error: options.on_error,
            timeout,
            threads: 1,
            gpu: options.gpu.as_ref().map(|gpu| GpuServe {
                module: gpu.code.module.clone(),
                layout: gpu.code.layout,
                constants: ask.gpu.clone(),
            }),
        };
        Ok(Work { object, blob, preload, entry, serve, options: Arc::clone(options) })
    }

    /// Whether it needs variables of the engine. A function of the notebook's cell can't, though the cell may.
    pub(super) fn needs_variables(&self) -> bool {
        matches!(self.entry, Entry::Cell(_)) && self.object.needs_variables
    }

    /// The generation of the engine's variables that it needs, if it needs them.
    pub(in crate::jobs) fn generation(&self, engine: EngineId, cluster: &Cluster) -> Option<u32> {
        self.needs_variables().then(|| cluster.generation(engine))
    }

    /// What an engine runs for this map, with these settings.
    pub(in crate::jobs) fn spec(&self, serve: &Serve, map: MapId, run: &CellRun) -> RunSpec {
        RunSpec {
            preload: self.preload.clone(),
            object: self.blob.id(),
            entry: self.entry.clone(),
            argument: serve.encode().into(),
            together: None,
            map: Some(map),
            label: self.options.label.clone(),
            snapshots: run.plan.snapshots,
        }
    }

    pub(super) fn can_run_on(&self, engine: EngineId, cluster: &Cluster) -> bool {
        !self.needs_gpus() || cluster.has_gpu(engine)
    }

    pub(super) fn needs_gpus(&self) -> bool {
        self.serve.gpu.as_ref().is_some_and(|gpu| !chorus_gpu::native::is_library(&gpu.module))
    }
}

/// What is called for a function of this object.
pub(in crate::jobs) fn entry(function: u64, access: Access) -> Entry {
    match access {
        Access::None => Entry::Function(function),
        Access::Read => Entry::Step { function, changes: false },
        Access::Change => Entry::Step { function, changes: true },
    }
}
