//! A job's script as a user may have changed it.

use super::guard::INVITATION;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Stands for the engine's program.
pub const PROGRAM: &str = "@PROGRAM@";
/// Stands for the folder of a job's files.
pub const FOLDER: &str = "@FOLDER@";

/// A script with these marks in it, as `--dry-run` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script(pub(super) String);

impl Script {
    /// Takes a script, unless it lacks what an engine can't be without. An error is a sentence.
    pub fn new(text: String) -> Result<Script, String> {
        let invitation = format!("{FOLDER}/{INVITATION}");
        match [PROGRAM, &invitation].into_iter().find(|mark| !text.contains(mark)) {
            Some(mark) => Err(format!(
                "it lacks `{mark}`, by which an engine finds what it needs: `--dry-run` prints a script that has it"
            )),
            None => Ok(Script(text)),
        }
    }

    /// The same for a job. Neither path has a blank in it.
    pub fn fill(&self, program: &Path, folder: &Path) -> String {
        self.0.replace(PROGRAM, &program.to_string_lossy()).replace(FOLDER, &folder.to_string_lossy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_filled_in_and_must_be_there() {
        let text = "#$ -q @FOLDER@x\n'@PROGRAM@' outpost < @FOLDER@/invitation\n".to_owned();
        let filled = Script::new(text).unwrap().fill(Path::new("/shared/engine"), Path::new("/shared/7"));
        assert_eq!(filled, "#$ -q /shared/7x\n'/shared/engine' outpost < /shared/7/invitation\n");
        let lacks = |text: &str| Script::new(text.to_owned()).unwrap_err();
        assert!(lacks("sleep 1 < @FOLDER@/invitation").starts_with("it lacks `@PROGRAM@`"));
        assert!(lacks("@PROGRAM@ < @FOLDER@/other").starts_with("it lacks `@FOLDER@/invitation`"));
    }
}
