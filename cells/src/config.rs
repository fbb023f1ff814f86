//! Which programs a notebook starts, and where.

use chorus_compiler::CacheConfig;
use chorus_controller::Launch;
use std::ffi::OsString;
use std::path::PathBuf;

/// How a notebook's workers and engines are started.
#[derive(Clone, Debug)]
pub struct NotebookConfig {
    /// The engine's program.
    pub engine: PathBuf,
    /// Its arguments, before those that make it an engine.
    pub engine_args: Vec<OsString>,
    /// Its arguments as a worker.
    pub worker_args: Vec<OsString>,
    /// The program that is NVRTC's, with its first argument, see `chorus_gpu::cuda::helper`.
    pub nvrtc: PathBuf,
    /// How many engines a cluster has that nobody said a number for; one for each core, at least 2, if `None`.
    pub engines: Option<u32>,
    /// How many engines of this host the kernel's own cluster had before Jupyter restarted the kernel, if it had one.
    pub before: Option<u32>,
    /// Where clusters have their folders.
    pub runtime: PathBuf,
    /// What is built for GPUs is kept here.
    pub gpu: PathBuf,
    /// And what is compiled, if it is kept.
    pub cache: Option<CacheConfig>,
}

impl NotebookConfig {
    pub(crate) fn launch(&self) -> Launch {
        let mut launch = Launch::new(self.engine.clone(), self.engine_args.clone());
        launch.env = vec![("PATH".into(), chorus_compiler::users_path())];
        launch
    }
}
