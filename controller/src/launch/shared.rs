//! What engines' hosts find in a folder that they see under the same path as this one does: the engine's program, and an
//! invitation for each outpost, which only this user can read.

use super::Launch;
use super::bringing::Program;
use std::fs::DirBuilder;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

/// The folder, with what all outposts of a cluster need.
#[derive(Debug)]
pub struct Shared {
    /// The program, in the folder.
    pub program: PathBuf,
    /// Its hash.
    pub hash: String,
    /// Where invitations lie until they are read.
    joining: PathBuf,
    /// How many folders there were.
    folders: AtomicU32,
}

impl Shared {
    /// Puts the program there; the user's cache folder is taken if no other one is named, where ssh has programs kept, too.
    pub async fn prepare(folder: Option<PathBuf>, cluster: &str, launch: &Launch) -> Result<Shared, String> {
        let folder = folder
            .or_else(|| Some(dirs::cache_dir()?.join("chorus")))
            .ok_or("there is no home folder: name one that all nodes see with `--shared`")?;
        // Job scripts of batch systems name paths in comments, which know no quotes.
        if folder.to_string_lossy().contains(|it: char| it.is_whitespace() || it.is_control()) {
            return Err(format!(
                "{} has a blank in it, which job scripts can't have: name another folder with `--shared`",
                folder.display()
            ));
        }
        let program = Program::read(launch).await?;
        let kept = |folder: PathBuf| move || program.keep_in(&folder).map(|path| (path, program.hash().to_owned()));
        let keeping = tokio::task::spawn_blocking(kept(folder.join("engines"))).await;
        let (program, hash) = keeping
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(|error| format!("the engine's program can't be written to {}: {error}", folder.display()))?;
        let joining = folder.join("joining").join(format!("{cluster}-{}", std::process::id()));
        Ok(Shared { program, hash, joining, folders: AtomicU32::new(0) })
    }

    /// For tests that need no program.
    #[cfg(test)]
    pub fn at(joining: PathBuf) -> Shared {
        Shared { program: PathBuf::new(), hash: String::new(), joining, folders: AtomicU32::new(0) }
    }

    /// A folder that nobody has had before, for files of one place or of several.
    pub fn folder(&self) -> Result<PathBuf, String> {
        let folder = self.joining.join(self.folders.fetch_add(1, Relaxed).to_string());
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|error| format!("{} can't be made: {error}", folder.display()))?;
        Ok(folder)
    }
}

/// Writes a file that others can't read.
pub fn write(path: &Path, text: &str) -> Result<(), String> {
    let open = || std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let written = open().and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| format!("{} can't be written: {error}", path.display()))
}
