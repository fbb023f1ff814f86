//! What an engine does for the groups of its runs: it tells a run of its group, and the others of members that have left.
//! What members do together goes between their workers.

use chorus_protocol::{Group, Parting};
use px::group::{Info, decode_lines};
use std::path::Path;
use std::time::Duration;

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

/// How often it is looked whether a group is used that a member has left.
const LOOK: Duration = Duration::from_millis(100);

/// A member has ended its run: those who wait for it are woken. Most cells never use their group, and cost nothing for it:
/// what members share is there when the first of them uses it.
pub fn left(group: &Group, rank: u32, how: Parting, shared: Option<&Path>) {
    let Some(shared) = shared else { return };
    let (folder, members) = (shared.join(&group.name), group.members.len());
    let why = match how {
        Parting::Ended => None,
        Parting::Panicked => Some(String::new()),
        Parting::Failed(how) => Some(how),
    };
    tokio::spawn(async move {
        // Its folder goes with the group.
        while !px::group::is_used(&folder) {
            tokio::time::sleep(LOOK).await;
            if !folder.exists() {
                return;
            }
        }
        // It opens a file, for which signs of life don't wait.
        let marking = tokio::task::spawn_blocking(move || {
            if let Err(error) = px::group::leave(&folder, members, rank as usize, why.as_deref()) {
                tracing::error!(%error, folder = %folder.display(), "members of a group can't be told that another has left");
            }
        });
        _ = marking.await;
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_protocol::EngineId;
    use px::group::{Stretch, encode_lines};

    fn group(shares_files: bool) -> Group {
        Group { name: "group-1-2".into(), members: vec![EngineId(1), EngineId(4)], shares_files }
    }

    #[test]
    fn a_cell_is_told_of_its_group() {
        let lines = vec![Stretch { first: 9, count: 2, cell: 0, line: 1 }];
        let told = info(Some((group(true), 1)), &encode_lines(&lines), Some(Path::new("/blobs")));
        let expected = Info { folder: Ok("/blobs/group-1-2".into()), rank: 1, members: vec![1, 4], lines };
        assert_eq!(told, Some(expected));
    }

    #[test]
    fn what_is_given_for_another_purpose_stays_as_it_is() {
        assert_eq!(info(Some((group(true), 1)), b"numbers", Some(Path::new("/blobs"))), None);
        assert_eq!(info(None, &encode_lines(&[]), Some(Path::new("/blobs"))), None);
    }

    #[test]
    fn engines_without_a_common_folder_are_told_that() {
        for (shares, shared) in [(false, Some(Path::new("/blobs"))), (true, None)] {
            let told = info(Some((group(shares), 0)), &encode_lines(&[]), shared).unwrap();
            assert!(told.folder.unwrap_err().contains("can't reach each other"));
        }
    }
}
