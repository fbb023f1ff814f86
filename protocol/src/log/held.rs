//! What takes memory in a session: variables and rooms.

use serde::{Deserialize, Serialize};

/// The most variables, or rooms, that are told one by one.
const TOLD: usize = 50;

/// What the variables of a session take in one process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variables {
    /// The largest, then those of which it isn't known.
    pub told: Vec<VariableUse>,
    /// How many there are besides.
    pub others: u64,
}

/// A variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariableUse {
    /// Its name.
    pub name: String,
    /// What it takes, in bytes, with all that it owns; about, if that is many values. `None` if its type doesn't tell.
    pub bytes: Option<u64>,
    /// How many values it has, or of a text, how many bytes. `None` if it isn't known for a collection.
    pub length: Option<u64>,
}

/// What a notebook holds besides what its engines do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotebookUse {
    /// Its own variables.
    pub variables: Variables,
    /// The largest of its rooms.
    pub rooms: Vec<RoomUse>,
    /// How many rooms there are besides.
    pub other_rooms: u64,
}

/// A room: memory that the kernel made for it and its engines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomUse {
    /// Its number in the kernel.
    pub number: u64,
    /// What of it takes memory, in bytes.
    pub bytes: u64,
    /// Whether values in the notebook's cells hold it; else only the kernel does, for a map, a call or a transfer.
    pub in_cells: bool,
}

impl Variables {
    /// What is known to be taken by all, and whether more is: there are some of which it isn't known, or isn't told.
    pub fn known(&self) -> (u64, bool) {
        let known = self.told.iter().filter_map(|variable| variable.bytes);
        let is_more = self.others > 0 || self.told.iter().any(|variable| variable.bytes.is_none());
        (known.sum(), is_more)
    }

    /// Of all variables there are, in any order.
    pub fn new(mut all: Vec<VariableUse>) -> Variables {
        all.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
        let others = all.len().saturating_sub(TOLD) as u64;
        all.truncate(TOLD);
        Variables { told: all, others }
    }
}

impl NotebookUse {
    /// Of these variables and of all rooms there are, in any order.
    pub fn new(variables: Variables, mut rooms: Vec<RoomUse>) -> NotebookUse {
        rooms.sort_by_key(|room| (std::cmp::Reverse(room.bytes), room.number));
        let other_rooms = rooms.len().saturating_sub(TOLD) as u64;
        rooms.truncate(TOLD);
        NotebookUse { variables, rooms, other_rooms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_are_told() {
        let of = |name: &str, bytes| VariableUse { name: name.to_owned(), bytes, length: None };
        let few = Variables::new(vec![of("c", None), of("b", Some(1)), of("a", Some(1)), of("d", Some(9))]);
        assert_eq!(few.told.iter().map(|it| it.name.as_str()).collect::<String>(), "dabc");
        assert_eq!((few.known(), Variables::default().known()), ((11, true), (0, false)));
        let many = Variables::new((0..TOLD as u64 + 7).map(|n| of(&n.to_string(), Some(n))).collect());
        assert_eq!((many.told.len(), many.others, many.told[0].bytes), (TOLD, 7, Some(TOLD as u64 + 6)));
        let room = |number| RoomUse { number, bytes: number, in_cells: false };
        let held = NotebookUse::new(few, (0..TOLD as u64 + 2).map(room).collect());
        assert_eq!((held.rooms[0].number, held.other_rooms), (TOLD as u64 + 1, 2));
    }
}
