//! What an engine does for the groups of its runs: it tells a run of its group, and the others of members that have left.
//! What members do together goes between their workers.

use chorus_protocol::{Group, Parting};
use px::group::{Info, decode_lines};
use std::path::Path;

/// What a run is told that is a cell of a group, in which its engine has this rank; `given` is what the notebook has sent
/// along. `None` if that is for another purpose.
pub fn info(group: Option<(Group, u32)>, given: &[u8], shared: Option<&Path>) -> Option<Info> {
    let ((Group { name, members, shares_files }, rank), lines) = (group?, decode_lines(given)?);
    let folder = match shared {
        Some(shared) if shares_files => Ok(shared.join(name)),
        _ => Err("the engines of this cell can't reach each other: not all of them find the controller's folder, as \
                  engines on its host do (`%px -t` runs the cell on those that you name)"
            .to_owned()),
    };
    Some(Info { folder, rank: rank as usize, members: members.iter().map(|id| id.0).collect(), lines })
}

/// A member has ended its run: those who wait for it are woken.
pub fn left(group: &Group, rank: u32, how: Parting, shared: Option<&Path>) {
    let Some(shared) = shared else { return };
    let (folder, members) = (shared.join(&group.name), group.members.len());
    let why = match how {
        Parting::Ended => None,
        Parting::Panicked => Some(String::new()),
        Parting::Failed(how) => Some(how),
    };
    // It opens a file, for which signs of life don't wait.
    tokio::task::spawn_blocking(move || {
        if let Err(error) = px::group::leave(&folder, members, rank as usize, why.as_deref()) {
            tracing::error!(%error, folder = %folder.display(), "members of a group can't be told that another has left");
        }
    });
}
