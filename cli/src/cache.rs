//! `chorus cache`: what is kept of compiled cells and dependencies, and how to be rid of it.

use crate::out::say;
use chorus_kernel::{CacheConfig, CacheInfo, CompilersInfo};
use clap::Subcommand;
use std::error::Error;
use std::path::Path;

/// What to do with the cache.
#[derive(Subcommand, Debug)]
pub enum Cache {
    /// Show where it is and how much is in it
    Info {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Remove all compiled cells and dependencies, and end compilers that wait for kernels; notebooks that are open go on, and build again what they need. Rust's core
    /// library for GPUs stays, which no notebook builds
    Clear,
}

/// Does it.
pub fn run(command: &Cache) -> Result<(), Box<dyn Error>> {
    let Some(config) = CacheConfig::from_environment() else {
        say!("Compiled cells aren't kept: CHORUS_CACHE_MB is 0, or there is no folder for caches.")?;
        return Ok(());
    };
    if let Cache::Info { .. } = command {
        check(&config.folder)?;
    }
    let folder = config.folder.display();
    let failed = |error: std::io::Error| format!("the cache in {folder}: {error}");
    match command {
        Cache::Info { json: true } => {
            let CacheInfo { cells, gpu_functions, bytes, .. } = config.info().map_err(failed)?;
            let of_dependencies = config.dependencies_info().map_err(failed)?;
            let compilers = config.compilers_info();
            let info = serde_json::json!({
                "folder": config.folder, "cells": cells, "bytes": bytes, "limit": config.limit,
                "gpu": { "functions": gpu_functions, "core_bytes": core_bytes() },
                "dependencies": {
                    "sets": of_dependencies.sets, "bytes": of_dependencies.bytes, "limit": of_dependencies.limit
                },
                "compilers": { "templates": compilers.templates, "copies": compilers.copies, "bytes": compilers.bytes },
            });
            say!("{info}")?;
        }
        Cache::Info { json: false } => {
            let CacheInfo { cells, gpu_functions, bytes, .. } = config.info().map_err(failed)?;
            let (used, limit) = (megabytes(bytes), megabytes(config.limit));
            say!("{folder}: {cells} compiled cells, {gpu_functions} functions for GPUs, {used} of {limit} MB")?;
            let found = config.dependencies_info().map_err(failed)?;
            let (sets, used, limit) = (found.sets, megabytes(found.bytes), megabytes(found.limit));
            say!("Beside it: {sets} sets of dependencies, {used} MB; what wasn't used today goes above {limit} MB")?;
            let core = megabytes(core_bytes());
            say!(
                "Also beside it: {core} MB of Rust's core library for GPUs, which `chorus gpu setup --from-source` builds"
            )?;
            let CompilersInfo { templates, copies, bytes } = config.compilers_info();
            say!(
                "In memory: {} MB of compilers; kernels use {copies}, and {templates} will be copied for others",
                megabytes(bytes)
            )?;
        }
        Cache::Clear => {
            let CacheInfo { cells, gpu_functions, bytes, .. } = config.clear().map_err(failed)?;
            let what = format!("{cells} compiled cells and {gpu_functions} functions for GPUs");
            say!("Removed {what}, {} MB, from {folder}", megabytes(bytes))?;
            let removed = config.clear_dependencies().map_err(failed)?;
            say!("Removed {} sets of dependencies, {} MB, beside it", removed.sets, megabytes(removed.bytes))?;
            // They have begun with what isn't there any more.
            config.end_templates();
        }
    }
    Ok(())
}

/// Whether kernels can keep something in this folder; if not, why. Where it isn't there, it isn't made for that.
fn check(folder: &Path) -> Result<(), String> {
    // They make it in the first folder above it that is there.
    let there = folder.ancestors().find(|it| it.symlink_metadata().is_ok()).unwrap_or(Path::new("."));
    let no = |why: String| format!("nothing can be kept in {}: {why}", folder.display());
    tempfile::tempdir_in(there).map_err(|error| no(format!("nothing can be made in {}: {error}", there.display())))?;
    match std::fs::metadata(folder) {
        Ok(data) if !chorus_system::user::owns_alone(&data) => {
            Err(no("it belongs to somebody else, or others can write to it".to_owned()))
        }
        _ => Ok(()),
    }
}

/// What `chorus gpu setup` has built.
fn core_bytes() -> u64 {
    crate::gpu::folder().map_or(0, |folder| chorus_gpu::toolchain::built_bytes(&folder))
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_folder_in_which_nothing_can_be_kept_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let cells = folder.path().join("new/cells");
        assert_eq!(check(&cells), Ok(()));
        assert!(!folder.path().join("new").exists(), "it was only looked at");
        std::fs::create_dir_all(&cells).unwrap();
        std::fs::set_permissions(&cells, PermissionsExt::from_mode(0o777)).unwrap();
        assert!(check(&cells).unwrap_err().contains("others can write to it"));
        std::fs::write(folder.path().join("file"), "").unwrap();
        let why = check(&folder.path().join("file/cells")).unwrap_err();
        assert!(why.starts_with("nothing can be kept in ") && why.contains("Not a directory"), "{why}");
        let why = check(Path::new("/proc/foo/cells")).unwrap_err();
        assert!(why.starts_with("nothing can be kept in /proc/foo/cells: nothing can be made in /proc: "), "{why}");
    }
}
