//! What a controller finds that takes the place of one that was killed: the folder of that one, with its connection
//! file and its journal.

use crate::core::{Action, Core};
use crate::folder::Folder;
use crate::journal::{self, JOURNAL};
use chorus_protocol::Connection;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A cluster whose controller is gone, and that goes on.
pub(crate) struct Left {
    pub connection: Connection,
    pub core: Core,
    /// What is first to be done to the files in the folder.
    pub files: Vec<Action>,
}

/// Whether engines and clients still look for a controller in a folder that no process has.
pub(crate) fn is_awaited(folder: &Path, connection_file: &Path) -> bool {
    let Ok(connection) = Connection::read(connection_file) else { return false };
    // A controller writes to it several times a second, and by that says when it was there the last time.
    let written = std::fs::metadata(folder.join(JOURNAL)).and_then(|journal| journal.modified());
    // A clock that was set back says that it was just now.
    let gone = written.ok().map(|written| SystemTime::now().duration_since(written).unwrap_or_default());
    gone.is_some_and(|gone| gone < Duration::from_secs(connection.stay.into()))
}

/// Reads what is left in a folder; or why that is of no use.
pub(crate) fn find(folder: &Folder) -> Result<Left, String> {
    let connection = Connection::read(&folder.connection_file()).map_err(|error| error.to_string())?;
    let (core, files) =
        journal::read(&folder.path(JOURNAL)).map_err(|why| format!("its journal is of no use: {why}"))?;
    if core.is_stopping() {
        return Err("it was being stopped".to_owned());
    }
    Ok(Left { connection, core, files })
}
