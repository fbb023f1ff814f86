//! What an engine does for the groups of its runs: it tells a run of its group, and the others of members that have left.
//! What members do together goes between their workers.

use super::values::ControllerFolder;
use chorus_protocol::{Group, Parting};
use px::group::{DOOR, Info, Reach, decode_lines};
use std::path::Path;
use std::time::Duration;

/// What a run is told that is a cell of a group, in which its engine has this rank; `given` is what the notebook has sent
/// along. `None` if that is for another purpose. The group's folder is where large results go.
pub fn info(group: Option<(Group, u32)>, given: &[u8], values: Option<&ControllerFolder>) -> Option<Info> {
    let ((Group { name, members }, rank), lines) = (group?, decode_lines(given)?);
    let reach = match values {
        Some(ControllerFolder::Here(folder)) => Reach::Shared(folder.join(name)),
        Some(ControllerFolder::There { outpost, .. }) => Reach::Far(outpost.with_file_name(DOOR), name),
        None => Reach::Nowhere(
            "this engine can't reach the others of the cell: it doesn't find the controller's folder, as engines on its host \
             do (`%px -t` runs the cell on those that you name)"
                .to_owned(),
        ),
    };
    Some(Info { reach, rank: rank as usize, members: members.iter().map(|id| id.0).collect(), lines })
}

/// How often it is looked whether a group is used that a member has left.
const LOOK: Duration = Duration::from_millis(100);

/// A member has ended its run: those who wait for it are woken. Most cells never use their group, and cost nothing for it:
/// what members share is there when the first of them uses it.
pub fn left(group: &Group, rank: u32, how: Parting, shared: Option<&Path>) {
    let Some(shared) = shared else { return };
    let (folder, members) = (shared.join(&group.name), group.members.len());
    let why = how.reason();
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

    fn group() -> Group {
        Group { name: "group-1-2".into(), members: vec![EngineId(1), EngineId(4)] }
    }

    #[test]
    fn a_cell_is_told_of_its_group() {
        let lines = vec![Stretch { first: 9, count: 2, cell: 0, line: 1 }];
        let given = encode_lines(&lines);
        let reach = |values| info(Some((group(), 1)), &given, values);
        let expected = |reach| Some(Info { reach, rank: 1, members: vec![1, 4], lines: lines.clone() });
        let here = ControllerFolder::Here("/blobs".into());
        let there = ControllerFolder::There { folder: "/blobs".into(), outpost: "/run/rooms".into() };
        assert_eq!(reach(Some(&here)), expected(Reach::Shared("/blobs/group-1-2".into())));
        assert_eq!(reach(Some(&there)), expected(Reach::Far("/run/groups".into(), "group-1-2".into())));
        assert!(matches!(reach(None), Some(Info { reach: Reach::Nowhere(why), .. }) if why.contains("can't reach")));
    }

    #[test]
    fn what_is_given_for_another_purpose_stays_as_it_is() {
        let here = ControllerFolder::Here("/blobs".into());
        assert_eq!(info(Some((group(), 1)), b"numbers", Some(&here)), None);
        assert_eq!(info(None, &encode_lines(&[]), Some(&here)), None);
    }
}
