//! What the tests need that run other programs.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

/// Makes a folder, and waits until nobody else of this target folder is at work in it, for as long as the file is held.
pub fn locked(folder: &Path) -> Result<File, String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let path = folder.join("lock");
    let lock = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    lock.lock().map_err(|error| format!("the lock of {} failed: {error}", folder.display()))?;
    Ok(lock)
}

/// What a command prints, on stdout and then on stderr; when it fails, a sentence with that.
pub fn output(command: &mut Command) -> Result<String, String> {
    let shown = format!("{command:?}");
    let output = command.output().map_err(|error| format!("{shown} can't be started: {error}"))?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(text) } else { Err(format!("{shown} ended with {}:\n{text}", output.status)) }
}
