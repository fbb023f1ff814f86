//! What an engine does for the groups of its runs: it tells a run of its group, and the others of members that have left.
//! What members do together goes between their workers.

use super::values::ControllerFolder;
use chorus_protocol::{Entry, Group, Parting, RunSpec};
use px::group::{DOOR, Info, Reach, decode_lines};
use std::path::Path;

/// What a run is told of its group, in which its engine has this rank. The group's folder is where large results go.
pub fn info(
    (Group { name, members }, rank): (Group, u32),
    run: &RunSpec,
    values: Option<&ControllerFolder>,
) -> Option<Info> {
    let lines = decode_lines(run.together.as_ref()?)?;
    let reach = match values {
        Some(ControllerFolder::Here(folder)) => Reach::Shared(folder.join(name)),
        Some(ControllerFolder::There { outpost, .. }) => Reach::Far(outpost.with_file_name(DOOR), name),
        None => Reach::Nowhere(
            "this engine can't reach the others of its group: it doesn't find the controller's folder, as engines on its host \
             do (`%px -t` runs a cell on those that you name, and `px::engines().on(..)` calls functions there)"
                .to_owned(),
        ),
    };
    let is_call = !matches!(run.entry, Entry::Cell(_));
    Some(Info { reach, rank: rank as usize, members: members.iter().map(|id| id.0).collect(), is_call, lines })
}

/// A member has ended its run: those who wait for it are woken.
pub fn left(group: &Group, rank: u32, how: Parting, shared: Option<&Path>) {
    let Some(shared) = shared else { return };
    let (folder, members) = (shared.join(&group.name), group.members.len());
    let why = how.reason();
    // It opens a file, for which signs of life don't wait.
    tokio::task::spawn_blocking(move || {
        if let Err(error) = px::group::leave(&folder, members, rank as usize, why.as_deref()) {
            tracing::error!(%error, folder = %folder.display(), "members of a group can't be told that another has left");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_protocol::{BlobId, EngineId, SnapshotPolicy};
    use px::group::{Stretch, encode_lines};

    fn group() -> Group {
        Group { name: "group-1-2".into(), members: vec![EngineId(1), EngineId(4)] }
    }

    fn run(entry: Entry, together: Option<Vec<u8>>) -> RunSpec {
        RunSpec {
            preload: vec![],
            object: BlobId::of(b""),
            entry,
            argument: "numbers".into(),
            together: together.map(Into::into),
            map: None,
            label: String::new(),
            snapshots: SnapshotPolicy::Off,
        }
    }

    #[test]
    fn a_cell_is_told_of_its_group() {
        let lines = vec![Stretch { first: 9, count: 2, cell: 0, line: 1 }];
        let given = run("cell".into(), Some(encode_lines(&lines)));
        let reach = |values| info((group(), 1), &given, values);
        let expected = |reach| Some(Info { reach, rank: 1, members: vec![1, 4], is_call: false, lines: lines.clone() });
        let here = ControllerFolder::Here("/blobs".into());
        let there = ControllerFolder::There { folder: "/blobs".into(), outpost: "/run/rooms".into() };
        assert_eq!(reach(Some(&here)), expected(Reach::Shared("/blobs/group-1-2".into())));
        assert_eq!(reach(Some(&there)), expected(Reach::Far("/run/groups".into(), "group-1-2".into())));
        assert!(matches!(reach(None), Some(Info { reach: Reach::Nowhere(why), .. }) if why.contains("can't reach")));
    }

    #[test]
    fn a_function_is_told_of_a_group_if_it_was_called_on_one() {
        let here = ControllerFolder::Here("/blobs".into());
        let told = |together| info((group(), 0), &run(Entry::Function(8), together), Some(&here));
        assert!(told(Some(encode_lines(&[]))).is_some_and(|info| info.is_call && info.rank == 0));
        assert_eq!(told(None), None);
    }
}
