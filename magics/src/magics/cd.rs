//! `%cd`: another folder.

use super::prelude::*;

/// Changes the folder of the notebook's cells, or shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folder {
    /// The home folder, where none is named.
    Change(Option<String>),
    /// Show it.
    Show,
}

#[derive(Parser)]
pub(crate) struct Flags {
    /// Where to go; without it, home
    #[arg(value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    folder: Option<String>,
}

impl Magic for Flags {
    const NAME: &str = "cd";
    const GROUP: Group = Group::Files;
    const SUMMARY: &str = "Changes the folder of the notebook's cells";
    const USAGE: &str = "%cd [FOLDER]";
    const TEACHING: &str = "\
It is that of the notebook's Rust, as `std::env::set_current_dir` changes it, and of `!`, `%%bash` and files of magics.
Engines keep theirs. A kernel that restarts is back where it began.

Examples:
  %cd data
  %cd ~
  %cd -                   back to the folder before
  %cd                     your home folder";

    fn read<'a>(self, _: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Ok(Command::Folder(Folder::Change(self.folder)))
    }
}
