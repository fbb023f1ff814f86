//! `chorus run`: runs a notebook's cells in a fresh kernel, over the Jupyter protocol like any other front end, and
//! shows the outputs in the terminal.
//!
//! The kernel is a process of its own, so that a notebook that kills it doesn't kill the report about it. Without
//! an output path no file is written; with one it is written also when a cell fails, whole or not at all.

mod command;
mod document;
mod files;
mod outputs;
mod parameters;
mod process;
mod report;
mod run;
mod screen;

pub use command::{RunArgs, translate};
pub use document::DocumentError;
pub use run::run;

use anstream::{AutoStream, ColorChoice};
use chorus_jupyter::{ClientError, ConnectionError};
use parameters::Setting;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Asks the user: the prompt, and whether the answer is a password. Called on a thread of its own.
pub type Ask = Arc<dyn Fn(&str, bool) -> std::io::Result<String> + Send + Sync>;

/// Where the executed notebook goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To this file, which may be the notebook itself.
    File(PathBuf),
    /// To `out`; everything else then goes to `err`.
    Stdout,
}

/// What to run, and how.
pub struct RunOptions {
    /// The notebook.
    pub notebook: PathBuf,
    /// Where the executed notebook goes; `None` writes none.
    pub output: Option<Output>,
    /// Values for the notebook's parameters.
    pub parameters: Vec<Setting>,
    /// The number of engines of the kernel's cluster, if not the default.
    pub engines: Option<u32>,
    /// The longest that one cell may take.
    pub timeout: Option<Duration>,
    /// Whether the run goes on when a cell fails or takes too long.
    pub allow_errors: bool,
    /// Whether to tell how long each cell took.
    pub times: bool,
    /// Where a report in JUnit's format goes.
    pub junit: Option<PathBuf>,
    /// Where a report as JSON goes.
    pub json: Option<PathBuf>,
    /// The kernel's program and arguments; `{connection_file}` stands for the path of that file.
    pub kernel: Vec<OsString>,
    /// Where outputs are shown.
    pub out: Box<dyn Write + Send>,
    /// Where stderr text, errors and warnings are shown.
    pub err: Box<dyn Write + Send>,
    /// Columns and rows when `out` and `err` lead to one terminal, so that outputs can be rewritten in place.
    pub terminal: Option<(u16, u16)>,
    /// How to answer a cell that asks for input; `None` tells it that it can't ask.
    pub ask: Option<Ask>,
}

impl RunOptions {
    /// Runs with this program's own kernel and the process's own streams. Where these don't want colours, by `color` or by
    /// the environment (`NO_COLOR`, `CLICOLOR_FORCE`), no escape sequence of any cell gets there.
    pub fn new(notebook: PathBuf, output: Option<Output>, color: ColorChoice) -> std::io::Result<RunOptions> {
        use std::io::IsTerminal;
        let exe = std::env::current_exe()?.into_os_string();
        let (out, err) = (AutoStream::new(std::io::stdout(), color), AutoStream::new(std::io::stderr(), color));
        let styled = [out.current_choice(), err.current_choice()].iter().all(|choice| *choice != ColorChoice::Never);
        // A notebook is written as it is.
        let out: Box<dyn Write + Send> =
            if output == Some(Output::Stdout) { Box::new(out.into_inner()) } else { Box::new(out) };
        Ok(RunOptions {
            notebook,
            output,
            parameters: Vec::new(),
            engines: None,
            timeout: None,
            allow_errors: false,
            times: false,
            junit: None,
            json: None,
            kernel: vec![exe, "kernel".into(), "--connection-file".into(), "{connection_file}".into()],
            out,
            err: Box::new(err),
            terminal: terminal().filter(|_| styled),
            ask: std::io::stdin().is_terminal().then(|| Arc::new(ask_terminal) as Ask),
        })
    }
}

/// Columns and rows of the terminal that both stdout and stderr lead to.
fn terminal() -> Option<(u16, u16)> {
    use std::io::IsTerminal;
    let size = terminal_size::terminal_size()?;
    (std::io::stdout().is_terminal() && std::io::stderr().is_terminal()).then_some((size.0.0, size.1.0))
}

/// Reads a line from the terminal that is our stdin, without echo when it is a password.
fn ask_terminal(prompt: &str, password: bool) -> std::io::Result<String> {
    let echo = |setting| std::process::Command::new("stty").arg(setting).status();
    let mut err = std::io::stderr();
    err.write_all(prompt.as_bytes())?;
    err.flush()?;
    if password {
        echo("-echo")?;
    }
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    if password {
        echo("echo")?;
        err.write_all(b"\n")?;
    }
    read.map(|_| line.trim_end_matches(['\r', '\n']).to_owned())
}

/// How far a run came. Its [`Finished::exit_code`] is for the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub ending: Ending,
    /// Cells that were run, the last one perhaps in part.
    pub ran: usize,
    /// Cells that there were to run.
    pub of: usize,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All cells ran, and those that failed may fail.
    Complete,
    /// A cell failed.
    Failed,
    /// A cell took longer than it may.
    TimedOut,
    /// The user stopped it.
    Interrupted,
    /// The kernel died; the sentence says how.
    KernelDied(String),
}

impl Ending {
    /// In one word or two, for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Ending::Complete => "complete",
            Ending::Failed => "failed",
            Ending::TimedOut => "timed out",
            Ending::Interrupted => "interrupted",
            Ending::KernelDied(_) => "kernel died",
        }
    }
}

impl Finished {
    /// The program's exit status.
    pub fn exit_code(&self) -> u8 {
        match self.ending {
            Ending::Complete => 0,
            Ending::Failed | Ending::KernelDied(_) => 1,
            Ending::TimedOut => 124,
            Ending::Interrupted => 130,
        }
    }
}

/// Why a notebook wasn't run, or its result wasn't written.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The notebook can't be read.
    #[error("{path} can't be read: {source}")]
    Read {
        /// The notebook.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no notebook that we can run.
    #[error("{path} can't be run: {source}")]
    Document {
        /// The file.
        path: PathBuf,
        /// Why.
        source: DocumentError,
    },
    /// The parameters don't fit the notebook; the text says all that is wrong.
    #[error("{0}")]
    Parameters(String),
    /// A report can't be written.
    #[error("the report can't be written to {path}: {source}")]
    Report {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A report would take the place of the notebook, or of another result.
    #[error("{path} can't be {one} and {other}: choose another file for one of them")]
    SameFile {
        /// The file.
        path: PathBuf,
        /// What is in it, or is to be.
        one: &'static str,
        /// What is to be in it, too.
        other: &'static str,
    },
    /// The executed notebook can't be written.
    #[error("the executed notebook can't be written to {path}: {source}")]
    Write {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder for the kernel's sockets can't be made.
    #[error("no temporary folder for the kernel's sockets: {0}")]
    Folder(#[source] std::io::Error),
    /// The kernel's connection file can't be made.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The kernel's program can't be started.
    #[error("the kernel `{program}` can't be started: {source}")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The kernel can't be talked to.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The outputs can't be shown.
    #[error("the outputs can't be shown: {0}")]
    Show(#[from] std::io::Error),
}

impl RunError {
    /// The program's exit status: 2 for what the user can put right, 1 for the rest.
    pub fn exit_code(&self) -> u8 {
        match self {
            RunError::Read { .. }
            | RunError::Document { .. }
            | RunError::Parameters(_)
            | RunError::Report { .. }
            | RunError::SameFile { .. }
            | RunError::Write { .. } => 2,
            _ => 1,
        }
    }
}

/// Writes a file so that nobody ever sees half of it.
fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    // The file that a link leads to is replaced, not the link.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let old = std::fs::metadata(&path).ok();
    if old.as_ref().is_some_and(|old| !old.is_file()) {
        // A pipe or a device can't be replaced.
        return std::fs::write(&path, bytes);
    }
    // A new file gets what the umask leaves of this.
    let mode = old.map_or(0o666, |old| old.permissions().mode() & 0o777);
    let mut file = tempfile::Builder::new()
        .prefix(".chorus-")
        .permissions(std::fs::Permissions::from_mode(mode))
        .tempfile_in(folder_of(&path))?;
    file.write_all(bytes)?;
    file.persist(&path)?;
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests;
