//! What a run is told of its group, and what an engine tells of members that have left.

use super::member::{Broken, Result as Outcome};
use super::segment::{Left, Segment};
use crate::link::Damaged;
use crate::wire::Wire;
use std::path::{Path, PathBuf};

/// What the bytes begin with.
const MARK: u64 = u64::from_le_bytes(*b"px group");

/// How a member reaches the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// By memory in this folder, which is gone when all have left.
    Shared(PathBuf),
    /// By a deputy on the host that has the folder of this name. Who leads there listens here.
    Far(PathBuf, String),
    /// Not at all. The sentence says why.
    Nowhere(String),
}

/// The group of one run: the engines that it was sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// How the members reach each other.
    pub reach: Reach,
    /// The place of this engine among the members.
    pub rank: usize,
    /// The engines' ids, in order.
    pub members: Vec<u32>,
    /// Whether the run is a call of a function, and not a cell.
    pub is_call: bool,
    /// Where the object's source has the user's lines.
    pub lines: Vec<Stretch>,
}

/// Lines of an object's source that are lines of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The first of them in the source, from 1.
    pub first: u32,
    /// How many.
    pub count: u32,
    /// The cell's number, 0 for the cell that runs.
    pub cell: u32,
    /// The first of them in the cell, from 1.
    pub line: u32,
}

impl Info {
    /// What the run is given.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Vec::new();
        MARK.put(&mut to);
        let (kind, path, text): (u8, _, _) = match &self.reach {
            Reach::Shared(folder) => (0, folder.to_string_lossy().into_owned(), String::new()),
            Reach::Far(door, name) => (1, door.to_string_lossy().into_owned(), name.clone()),
            Reach::Nowhere(reason) => (2, String::new(), reason.clone()),
        };
        kind.put(&mut to);
        path.put(&mut to);
        text.put(&mut to);
        (self.rank as u64).put(&mut to);
        self.members.put(&mut to);
        u8::from(self.is_call).put(&mut to);
        to.extend(encode_lines(&self.lines));
        to
    }

    /// The opposite; `None` if the run has no group.
    pub fn decode(mut from: &[u8]) -> Option<Info> {
        let from = &mut from;
        let mut read = || -> Result<Info, Damaged> {
            if u64::get(from)? != MARK {
                return Err(Damaged);
            }
            let (kind, path, text) = (u8::get(from)?, String::get(from)?, String::get(from)?);
            let reach = match kind {
                0 => Reach::Shared(path.into()),
                1 => Reach::Far(path.into(), text),
                2 => Reach::Nowhere(text),
                _ => return Err(Damaged),
            };
            let rank = u64::get(from)? as usize;
            let members = Vec::<u32>::get(from)?;
            let is_call = u8::get(from)? != 0;
            let lines = read_lines(from)?;
            if rank < members.len() { Ok(Info { reach, rank, members, is_call, lines }) } else { Err(Damaged) }
        };
        read().ok()
    }

    /// How many members there are.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// What the members do: they run a cell, or a call.
    pub(super) fn work(&self) -> &'static str {
        if self.is_call { "call" } else { "cell" }
    }

    /// An error unless there is such a rank.
    pub(super) fn check(&self, rank: usize, what: &str) -> Outcome<()> {
        if rank < self.size() {
            return Ok(());
        }
        let last = self.size() - 1;
        Err(Broken::own(format!("{what} fails: there is no rank {rank} in this group, whose ranks are 0 to {last}")))
    }

    /// A line of the source, as users know it.
    pub fn place(&self, line: u32) -> String {
        match self.lines.iter().find(|it| it.contains(line)) {
            Some(stretch) => stretch.place(line),
            None => format!("line {line} of what the cell was compiled from"),
        }
    }
}

impl Stretch {
    /// Whether this line of the source is one of them.
    pub(crate) fn contains(&self, line: u32) -> bool {
        (self.first..self.first.saturating_add(self.count)).contains(&line)
    }

    /// One of its lines, as users know it.
    pub(crate) fn place(&self, line: u32) -> String {
        let &Stretch { first, cell, line: begin, .. } = self;
        let line = begin + (line - first);
        match cell {
            0 => format!("cell line {line}"),
            _ => format!("In[{cell}] line {line}"),
        }
    }
}

/// Encodes [`Info::lines`], which whoever compiles a cell gives along with it.
pub fn encode_lines(lines: &[Stretch]) -> Vec<u8> {
    let numbers: Vec<[u32; 4]> = lines.iter().map(|it| [it.first, it.count, it.cell, it.line]).collect();
    let mut to = Vec::new();
    MARK.put(&mut to);
    numbers.put(&mut to);
    to
}

/// The opposite of [`encode_lines`]; `None` if the bytes are something else.
pub fn decode_lines(mut from: &[u8]) -> Option<Vec<Stretch>> {
    read_lines(&mut from).ok()
}

fn read_lines(from: &mut &[u8]) -> Result<Vec<Stretch>, Damaged> {
    if u64::get(from)? != MARK {
        return Err(Damaged);
    }
    let numbers = Vec::<[u32; 4]>::get(from)?;
    Ok(numbers.into_iter().map(|[first, count, cell, line]| Stretch { first, count, cell, line }).collect())
}

/// Says in the group's memory that a member has left, and wakes all who wait for it. Nothing happens if nobody has made the
/// memory, or the group is gone. `why` is said of the engine, such as "was killed"; `None` if it has come to the end of the cell
/// or the call, and an empty one if it has left word itself.
pub fn leave(folder: &Path, members: usize, rank: usize, why: Option<&str>) -> std::io::Result<()> {
    if rank >= members {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let segment = match Segment::open(folder, members) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let left = if why.is_some() { Left::Failed } else { Left::Ended };
    segment.leave(rank, left, why.filter(|why| !why.is_empty()));
    Ok(())
}
