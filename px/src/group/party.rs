//! How an object's run takes part in its group: as a member, or through its deputy.

use super::exchange::{Numbers, Part, Whose};
use super::far::Far;
use super::info::{Info, Reach};
use super::member::{Broken, Call, Member, Result};
use super::ops::Vector;
use super::post::Letter;
use super::segment::Left;

/// See the module. What its functions do is said where [`Member`] has them.
pub(super) enum Party {
    Near(Member),
    Far(Far),
}

impl Party {
    pub fn open(info: Info) -> Result<Party> {
        match info.reach.clone() {
            Reach::Shared(folder) => Member::open(info, &folder).map(Party::Near),
            Reach::Far(door, name) => Far::open(info, &door, &name).map(Party::Far),
            Reach::Nowhere(reason) => Err(Broken::own(reason)),
        }
    }

    pub fn info(&self) -> &Info {
        match self {
            Party::Near(member) => &member.info,
            Party::Far(far) => &far.info,
        }
    }

    pub fn rank(&self) -> usize {
        self.info().rank
    }

    pub fn size(&self) -> usize {
        self.info().size()
    }

    /// A deputy says it by itself.
    pub fn over(&self, what: &str) -> Option<Broken> {
        match self {
            Party::Near(member) => member.over(what),
            Party::Far(_) => None,
        }
    }

    /// A deputy does it by itself.
    pub fn give_up(&self, why: &Broken) {
        if let Party::Near(member) = self {
            member.give_up(why);
        }
    }

    /// Can't do anything more with the others.
    pub fn fail(&self) {
        match self {
            Party::Near(member) => member.memory.leave(member.rank(), Left::Failed, None),
            Party::Far(far) => far.fail(),
        }
    }

    pub fn exchange(&self, call: &Call<'_>, mine: &[u8], whose: Whose, take: &mut dyn FnMut(Part<'_>)) -> Result<()> {
        match self {
            Party::Near(member) => member.exchange(call, &[mine], &mut |part| {
                if whose.has(part.rank) {
                    take(part);
                }
            }),
            Party::Far(far) => far.exchange(call, mine, whose, take),
        }
    }

    pub fn scatter(&self, call: &Call<'_>, mine: &[&[u8]], take: &mut dyn FnMut(Part<'_>)) -> Result<()> {
        match self {
            Party::Near(member) => member.scatter(call, mine, take),
            Party::Far(far) => far.scatter(call, mine, take),
        }
    }

    pub fn reduce(&self, call: &Call<'_>, numbers: &mut Numbers<'_>) -> Result<()> {
        match self {
            Party::Near(member) => member.reduce(call, numbers),
            Party::Far(far) => far.reduce(call, numbers),
        }
    }

    pub fn send(&self, to: usize, of: &str, line: u32, value: &[u8]) -> Result<()> {
        match self {
            Party::Near(member) => member.send(to, of, line, value),
            Party::Far(far) => far.send(to, of, line, value),
        }
    }

    pub fn receive(&self, from: Option<usize>, of: &str, line: u32, value: &mut dyn Vector) -> Result<Letter> {
        match self {
            Party::Near(member) => member.receive(from, of, line, value),
            Party::Far(far) => far.receive(from, of, line, value),
        }
    }
}
