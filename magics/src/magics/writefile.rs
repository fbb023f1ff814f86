//! `%%writefile`: a cell for a file.

use super::prelude::*;

/// Writes the body of the cell to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteFile<'a> {
    /// Where, as written.
    pub file: String,
    /// Whether to add to what is there.
    pub append: bool,
    /// The body.
    pub text: &'a str,
}

#[derive(Parser)]
pub(crate) struct Flags {
    /// Add to the end of the file instead of replacing it
    #[arg(short, long)]
    append: bool,
    /// Where to write
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: String,
}

impl Magic for Flags {
    const NAME: &str = "writefile";
    const FORM: Form = Form::Cell;
    const GROUP: Group = Group::Files;
    const SUMMARY: &str = "Writes the cell to a file";
    const USAGE: &str = "%%writefile [-a] FILE and the text on the lines below";
    const TEACHING: &str = "\
A path is relative to the folder in which the kernel was started; `~` is your home folder.

Examples:
  %%writefile data/points.csv
  x,y
  1,2

  %%writefile -a ~/notes.txt     adds to the file's end
  another line";

    fn read<'a>(self, call: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Ok(Command::WriteFile(WriteFile { file: self.file, append: self.append, text: call.text() }))
    }
}
