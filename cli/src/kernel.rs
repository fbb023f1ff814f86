//! `chorus kernel`: what the kernelspec starts.

use crate::places::{data_folder, engine_program, runtime_folder};
use chorus_cells::NotebookConfig;
use chorus_controller::{FolderError, OwnFolder};
use chorus_engine::program::WORKER;
use chorus_jupyter::ConnectionInfo;
use chorus_kernel::{CacheConfig, KernelConfig};
use chorus_system::{parent, process, signal};
use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// The argument that makes this program evcxr's child.
pub const RELAY: &str = "evcxr-relay";

/// The argument that makes this program the compiler's process.
pub const COMPILER: &str = "compiler";

/// How often a kernel looks whether whoever started it is still there.
const PARENT_CHECK: Duration = Duration::from_millis(500);

/// For so long after a kernel's end another one may take its place.
const RESTART: Duration = Duration::from_secs(60);

/// Runs a kernel until it is shut down.
pub fn run(connection_file: &Path) -> Result<ExitCode, Box<dyn Error>> {
    let connection = ConnectionInfo::read(connection_file)?;
    let runtime = runtime_folder();
    let folder = private_folder(&runtime)?;
    // SAFETY: nothing has started a thread yet.
    unsafe { chorus_kernel::prepare_environment() };
    crate::log();
    let exe = std::env::current_exe()?;
    let note = Note::about(connection_file, &runtime);
    let (engine, engine_args) = engine_program(&exe);
    let cache = CacheConfig::from_environment();
    let config = KernelConfig {
        connection,
        relay: exe.clone(),
        relay_args: vec![RELAY.into()],
        compiler_args: vec![COMPILER.into()],
        notebook: NotebookConfig {
            engine,
            engine_args,
            worker_args: vec![WORKER.into()],
            nvrtc: exe,
            engines: std::env::var("CHORUS_ENGINES")
                .ok()
                .and_then(|count| count.parse().ok())
                .filter(|count| *count > 0),
            before: note.take(),
            gpu: crate::gpu::folder().unwrap_or_else(|| runtime.join("gpu")),
            cache: cache.clone(),
            runtime,
        },
        folder: folder.path().to_owned(),
        cache,
        data: data_folder(),
    };
    die_with_parent();
    let result = crate::runtime()?.block_on(chorus_kernel::serve(config));
    // A build may still be writing; what it leaves is removed by the next kernel.
    folder.remove();
    if let Some(engines) = result? {
        note.leave(engines);
    }
    // Not by return: the compiler's thread may be in the middle of something.
    std::process::exit(0)
}

/// A folder for this kernel's builds. Those of kernels that were killed are removed.
fn private_folder(runtime: &Path) -> Result<OwnFolder, FolderError> {
    let id = std::process::id();
    let create = |name: &str| OwnFolder::create(runtime, "kernels", name);
    // In another container, a kernel may have the same id.
    let others = (1..=9).map(|number| format!("{id}-{number}"));
    others.fold(create(&id.to_string()), |made, name| match made {
        Err(FolderError::InUse(_) | FolderError::Foreign(_)) => create(&name),
        made => made,
    })
}

/// Jupyter sets JPY_PARENT_PID for kernels that are to end with it.
fn die_with_parent() {
    if std::env::var_os("JPY_PARENT_PID").is_none() {
        return;
    }
    let parent = parent::id();
    std::thread::spawn(move || {
        while parent::id() == parent {
            std::thread::sleep(PARENT_CHECK);
        }
        process::send(std::process::id(), signal::TERMINATE);
    });
}

/// What a kernel that Jupyter restarts leaves for the one that takes its place, which gets the same connection file: how
/// many engines it had.
struct Note(PathBuf);

impl Note {
    /// Of the kernel with this connection file.
    fn about(connection_file: &Path, runtime: &Path) -> Note {
        let path = std::path::absolute(connection_file).unwrap_or_else(|_| connection_file.to_owned());
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        Note(runtime.join(format!("restart-{:016x}", hasher.finish())))
    }

    /// What the one before has left, if it ended just now. It is read once.
    fn take(&self) -> Option<u32> {
        let left = std::fs::metadata(&self.0).and_then(|file| file.modified());
        let is_new = left.is_ok_and(|left| left.elapsed().is_ok_and(|age| age < RESTART));
        let text = std::fs::read_to_string(&self.0).ok().filter(|_| is_new);
        _ = std::fs::remove_file(&self.0);
        text?.trim().parse().ok().filter(|engines| *engines > 0)
    }

    /// Without it, the next kernel starts as many engines as any other.
    fn leave(&self, engines: u32) {
        if let Err(error) = std::fs::write(&self.0, engines.to_string()) {
            tracing::warn!("{} can't be written: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_for_the_same_connection_file_and_read_once() {
        let runtime = tempfile::tempdir().unwrap();
        let about = |file: &str| Note::about(Path::new(file), runtime.path());
        about("/a/kernel-1.json").leave(3);
        assert_eq!(about("/a/kernel-2.json").take(), None);
        assert_eq!([(); 2].map(|()| about("/a/kernel-1.json").take()), [Some(3), None]);
        std::fs::write(&about("/b").0, "none").unwrap();
        assert_eq!(about("/b").take(), None);
    }
}
