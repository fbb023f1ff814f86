//! A member of a group: how it waits for the others, and what it says when they don't come.
//!
//! Members never wait for what can't happen. Who leaves says so in the group's memory, or its engine says it when it has
//! died. And if all who are left wait, each for something that none of them will do, the first who looks says so.

use super::exchange::Numbers;
use super::info::Info;
use super::ops::NAMES;
use super::segment::{Left, Segment, Shown};
use crate::engines::named;
use crate::sys::{wait_on, wake_all};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// How often whoever waits looks whether all do.
pub(super) const LOOK: Duration = Duration::from_millis(200);

/// For what a member waits, in its seat: for all at the gate,
pub(super) const GATE: u32 = 1;
/// for a message of rank 0, and so on,
pub(super) const FROM: u32 = 2;
/// or for one of any rank.
pub(super) const ANYBODY: u32 = u32::MAX;

/// Why a call can't do what it should.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// A sentence.
    pub text: String,
    /// Whether it is this member's fault. Else the group has come to its end, and others say the same.
    pub own: bool,
}

impl Broken {
    pub fn own(text: String) -> Broken {
        Broken { text, own: true }
    }

    pub fn group(text: String) -> Broken {
        Broken { text, own: false }
    }
}

pub(super) type Result<T> = std::result::Result<T, Broken>;

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Kind {
    Barrier,
    Broadcast,
    Reduce,
    Allreduce,
    Allgather,
    Gather,
    Scatter,
    Scan,
    Alltoall,
}

impl Kind {
    const ALL: [Kind; 9] = [
        Kind::Barrier,
        Kind::Broadcast,
        Kind::Reduce,
        Kind::Allreduce,
        Kind::Allgather,
        Kind::Gather,
        Kind::Scatter,
        Kind::Scan,
        Kind::Alltoall,
    ];

    pub fn of(number: u32) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u32 == number)
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Barrier => "barrier",
            Kind::Broadcast => "broadcast",
            Kind::Reduce => "reduce",
            Kind::Allreduce => "allreduce",
            Kind::Allgather => "allgather",
            Kind::Gather => "gather",
            Kind::Scatter => "scatter",
            Kind::Scan => "scan",
            Kind::Alltoall => "alltoall",
        }
    }
}

/// A call of a collective. All but the place must be the same for all members.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub kind: Kind,
    /// The rank that has a part of its own.
    pub root: Option<usize>,
    /// The type's name, as the compiler writes it.
    pub of: &'a str,
    /// How many numbers, where all must have as many.
    pub count: Option<usize>,
    /// Which of px's functions combines them. Of others it isn't known whether they are the same.
    pub how: Option<u8>,
    /// The line in the object's source.
    pub line: u32,
}

const NONE: u32 = u32::MAX;

impl Call<'_> {
    pub fn print(&self) -> u64 {
        let how = self.how.map_or(0, |it| u64::from(it) + 1);
        let (root, count) = (self.root.map_or(0, |it| it as u64 + 1), self.count.map_or(0, |it| it as u64 + 1));
        let numbers = [self.kind as u64, root, count, how];
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).chain(self.of.bytes());
        // FNV-1a.
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }

    /// It combines these.
    pub fn combines(&mut self, numbers: &Numbers<'_>) {
        self.count = Some(numbers.bytes.len() / numbers.width);
        self.how = Some(numbers.how);
    }

    /// `allreduce(f64)`.
    pub fn name(&self) -> String {
        let of = if self.kind == Kind::Barrier { String::new() } else { short(self.of) };
        format!("{}({of})", self.kind.name())
    }

    pub fn show(&self, to: &Shown, bytes: usize) {
        to.print.store(self.print(), SeqCst);
        to.bytes.store(bytes as u64, SeqCst);
        to.count.store(self.count.map_or(u64::MAX, |count| count as u64), SeqCst);
        to.kind.store(self.kind as u32, SeqCst);
        to.how.store(self.how.map_or(NONE, u32::from), SeqCst);
        to.root.store(self.root.map_or(NONE, |root| root as u32), SeqCst);
        to.line.store(self.line, SeqCst);
        let name = self.of.as_bytes();
        to.name.iter().zip(name).for_each(|(place, byte)| place.store(*byte, std::sync::atomic::Ordering::Relaxed));
        to.name_length.store(name.len() as u32, SeqCst);
    }
}

/// `allreduce(f64)`, as shown by a member. With `whole`, also what else must be the same.
fn describe(shown: &Shown, whole: bool) -> String {
    let length = (shown.name_length.load(SeqCst) as usize).min(shown.name.len());
    let name: Vec<u8> = shown.name[..length].iter().map(|byte| byte.load(SeqCst)).collect();
    let name = short(&String::from_utf8_lossy(&name));
    let kind = Kind::of(shown.kind.load(SeqCst)).map_or("?", Kind::name);
    let mut inside = if kind == "barrier" { String::new() } else { name };
    if whole {
        let (root, count) = (shown.root.load(SeqCst), shown.count.load(SeqCst));
        if root != NONE {
            inside += &format!(", root {root}");
        }
        if count != u64::MAX {
            inside += &format!(", {count} values");
        }
        if let Some(name) = NAMES.get(shown.how.load(SeqCst) as usize) {
            inside += &format!(", {name}");
        }
    }
    format!("{kind}({inside})")
}

/// A type's name without the paths in it.
pub(super) fn short(name: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    let mut rest = name.chars().peekable();
    while let Some(letter) = rest.next() {
        match letter {
            ':' if rest.peek() == Some(&':') => {
                rest.next();
                word.clear();
            }
            _ if letter.is_alphanumeric() || letter == '_' => word.push(letter),
            _ => {
                out += &word;
                word.clear();
                out.push(letter);
            }
        }
    }
    out + &word
}

/// See the module.
pub(super) struct Member {
    pub memory: Segment,
    pub info: Info,
    /// Where it is.
    pub folder: PathBuf,
    /// Which half of its slot it shows next. The same for all members: they do the same.
    pub half: Cell<usize>,
    /// Whose message is taken first when several have sent one.
    pub next: Cell<usize>,
}

impl Member {
    /// Takes part by the memory in this folder.
    pub fn open(info: Info, folder: &Path) -> Result<Member> {
        let memory = Segment::make(folder, info.members.len()).map_err(|error| {
            Broken::own(format!("the memory that the engines share can't be opened in {}: {error}", folder.display()))
        })?;
        Ok(Member { memory, info, folder: folder.to_owned(), half: Cell::new(0), next: Cell::new(0) })
    }

    pub fn rank(&self) -> usize {
        self.info.rank
    }

    pub fn size(&self) -> usize {
        self.info.members.len()
    }

    pub fn id(&self, rank: usize) -> u32 {
        self.info.members[rank]
    }

    /// This member's part is over, because of this.
    pub fn give_up(&self, why: &Broken) {
        self.memory.leave(self.rank(), Left::GaveUp, Some(&why.text));
    }

    /// Why nothing can be begun with the others any more, if that is so: a member that has left would change what they may
    /// still read. `what` is the function.
    pub fn over(&self, what: &str) -> Option<Broken> {
        self.memory.left(self.rank()).map(|_| self.gone(self.rank(), &format!("px::{what}"), ""))
    }

    /// Waits until all members have come here. What each wrote before is there for all behind it.
    pub fn meet(&self, call: &Call<'_>) -> Result<()> {
        let gate = self.memory.gate();
        let turn = gate.turn.load(SeqCst) >> 1;
        if self.size() > 1 {
            self.all_are_here(call)?;
        }
        if gate.arrived.fetch_add(1, SeqCst) + 1 == self.size() as u32 {
            gate.arrived.store(0, SeqCst);
            gate.turn.fetch_add(2, SeqCst);
            wake_all(&gate.turn);
            return Ok(());
        }
        let _waits = self.begin_to_wait(GATE, turn, call.line);
        let mut seen = None;
        loop {
            let now = gate.turn.load(SeqCst);
            if now >> 1 != turn {
                return Ok(());
            }
            self.may_still_come(turn, call)?;
            wait_on(&gate.turn, now, LOOK);
            if gate.turn.load(SeqCst) == now {
                self.look(&mut seen)?;
            }
        }
    }

    /// An error if who is waited for since this turn has left. Who left after all had met is missed by nobody.
    pub fn may_still_come(&self, turn: u32, call: &Call<'_>) -> Result<()> {
        self.all_are_here(call).or_else(|broken| match self.memory.gate().turn.load(SeqCst) >> 1 {
            now if now == turn => Err(broken),
            _ => Ok(()),
        })
    }

    fn all_are_here(&self, call: &Call<'_>) -> Result<()> {
        if self.memory.gate().turn.load(SeqCst) & 1 == 0 {
            return Ok(());
        }
        // Of several reasons the one that explains the others.
        let of = |how| (0..self.size()).find(|&rank| self.memory.left(rank) == Some(how));
        match of(Left::Failed).or_else(|| of(Left::Ended)).or_else(|| of(Left::GaveUp)) {
            Some(rank) => Err(self.gone(rank, &call.name(), "taking part")),
            // It is being said.
            None => Ok(()),
        }
    }

    /// Why what is called can't end: a member has left, without doing what it should.
    pub fn gone(&self, rank: usize, what: &str, without: &str) -> Broken {
        let (note, work) = (self.memory.note(rank), self.info.work());
        if rank == self.rank() {
            return Broken::group(format!(
                "{what} can't begin: this engine's part in the {work}'s group is over ({note})"
            ));
        }
        let id = self.id(rank);
        Broken::group(match self.memory.left(rank) {
            Some(Left::GaveUp) => note,
            Some(Left::Failed) if !note.is_empty() => format!("{what} can't end: engine {id} {note}"),
            Some(Left::Failed) => format!("{what} can't end: engine {id} has failed in the {work}"),
            _ => format!("{what} can't end: engine {id} has come to the end of the {work} without {without}"),
        })
    }

    /// All show what they call; an error if it isn't the same.
    pub fn agree(&self, call: &Call<'_>, half: usize) -> Result<()> {
        let print = call.print();
        if (0..self.size()).all(|rank| self.memory.shown(rank, half).print.load(SeqCst) == print) {
            return Ok(());
        }
        let say = |whole| {
            let mut said: Vec<(String, Vec<u32>)> = Vec::new();
            for rank in 0..self.size() {
                let shown = self.memory.shown(rank, half);
                let text = format!("{} at {}", describe(shown, whole), self.info.place(shown.line.load(SeqCst)));
                match said.iter_mut().find(|(other, _)| *other == text) {
                    Some((_, who)) => who.push(self.id(rank)),
                    None => said.push((text, vec![self.id(rank)])),
                }
            }
            said
        };
        let same_names = {
            let names: Vec<String> = (0..self.size()).map(|it| describe(self.memory.shown(it, half), false)).collect();
            names.windows(2).all(|two| two[0] == two[1])
        };
        let said: Vec<String> =
            say(same_names).into_iter().map(|(text, who)| format!("{text} on {}", named(&who))).collect();
        Err(Broken::group(format!("the engines of the group don't call the same: {}", said.join(", "))))
    }

    /// Says for what this member waits, until what is returned is dropped.
    pub fn begin_to_wait(&self, what: u32, turn: u32, line: u32) -> Waits<'_> {
        let seat = self.memory.seat(self.rank());
        seat.waits_turn.store(turn, SeqCst);
        seat.line.store(line, SeqCst);
        seat.waits.store(what, SeqCst);
        seat.step.fetch_add(1, SeqCst);
        Waits(self)
    }

    /// Looks whether all who are left wait for what none of them will do. `seen` is what was seen the last time.
    pub fn look(&self, seen: &mut Option<Vec<u64>>) -> Result<()> {
        let steps: Vec<u64> = (0..self.size()).map(|rank| self.memory.seat(rank).step.load(SeqCst)).collect();
        let before = seen.replace(steps.clone());
        let all_wait = (0..self.size()).all(|rank| self.memory.left(rank).is_some() || self.waits_in_vain(rank));
        if !all_wait || before != Some(steps) {
            return Ok(());
        }
        let (left, waiting): (Vec<usize>, Vec<usize>) =
            (0..self.size()).partition(|&rank| self.memory.left(rank).is_some());
        let said: Vec<String> = waiting.into_iter().map(|rank| self.wait_of(rank)).collect();
        let said = said.join(", ");
        let left: Vec<u32> = left.into_iter().map(|rank| self.id(rank)).collect();
        Err(Broken::group(match left.len() {
            0 => format!("every engine of the group waits, and so nothing will come: {said}"),
            count => {
                let have = if count == 1 { "has" } else { "have" };
                format!(
                    "every engine that is still in the {} waits, and so nothing will come: {said}; {} {have} left it",
                    self.info.work(),
                    named(&left)
                )
            }
        }))
    }

    fn waits_in_vain(&self, rank: usize) -> bool {
        let seat = self.memory.seat(rank);
        match seat.waits.load(SeqCst) {
            0 => false,
            GATE => self.memory.gate().turn.load(SeqCst) >> 1 == seat.waits_turn.load(SeqCst),
            ANYBODY => (0..self.size()).all(|from| !self.has_sent(from, rank)),
            from => {
                let from = (from - FROM) as usize;
                from < self.size() && !self.has_sent(from, rank)
            }
        }
    }

    fn wait_of(&self, rank: usize) -> String {
        let seat = self.memory.seat(rank);
        let what = match seat.waits.load(SeqCst) {
            0 | GATE => {
                // What it shows was written before it began to wait; which half it is doesn't matter for long names.
                let halves = [0, 1].map(|half| self.memory.shown(rank, half));
                let line = seat.line.load(SeqCst);
                let shown = halves.into_iter().find(|shown| shown.line.load(SeqCst) == line);
                shown.map_or("a collective".into(), |shown| describe(shown, false))
            }
            ANYBODY => "recv_any()".to_owned(),
            from => format!("recv({})", from - FROM),
        };
        format!("{what} at {} on engine {}", self.info.place(seat.line.load(SeqCst)), self.id(rank))
    }
}

/// While this lives, a member waits.
pub(super) struct Waits<'a>(&'a Member);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let seat = self.0.memory.seat(self.0.rank());
        seat.waits.store(0, SeqCst);
        seat.step.fetch_add(1, SeqCst);
    }
}
