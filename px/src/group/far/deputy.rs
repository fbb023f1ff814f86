//! Deputies: members of groups, in a process of their own on the host that has the groups' memory, for those who are elsewhere.

use super::message::{Answer, Ask, PART, Steps, damaged, hear, tell};
use crate::group::exchange::Part;
use crate::group::info::{self, Info};
use crate::group::member::{Broken, Call, Member};
use crate::group::ops::folds;
use crate::group::segment::{CHUNK, Left, Segment};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Result<T> = std::result::Result<T, Broken>;

/// All deputies of a process.
pub struct Deputies {
    /// Has the groups' folders.
    folder: PathBuf,
    all: Mutex<ByMember>,
}

/// By group and rank.
type ByMember = HashMap<(String, usize), Arc<Mutex<Deputy>>>;

/// A deputy.
struct Deputy {
    member: Member,
    /// How much it has answered.
    answered: u64,
    /// Its last answer, which may not have arrived.
    last: (Answer, Vec<u8>),
    /// What has come along so far for what is asked next.
    kept: Vec<u8>,
    /// What is left to be sent of the last answer.
    rest: Vec<u8>,
}

impl Deputies {
    /// Of groups whose folders are in this one.
    pub fn new(folder: &Path) -> Deputies {
        Deputies { folder: folder.to_owned(), all: Mutex::default() }
    }

    /// Answers on one connection until it ends.
    pub fn serve(&self, mut stream: impl Read + Write) -> io::Result<()> {
        let (ask, bytes) = hear::<Ask>(&mut stream, PART as u64)?;
        let begun = self.begin(ask, &bytes);
        let (answer, deputy) = match begun {
            Ok(deputy) => (Answer::Done(Vec::new(), String::new()), deputy),
            Err(broken) => (broken.into(), None),
        };
        tell(&mut stream, &answer, &[])?;
        let Some((deputy, mut number)) = deputy else { return Ok(()) };
        loop {
            let (ask, bytes) = hear::<Ask>(&mut stream, PART as u64)?;
            // Somebody may be at it still, for a connection that has broken.
            let mut deputy = deputy.lock().unwrap_or_else(PoisonError::into_inner);
            if deputy.answered == number {
                deputy.last = deputy.answer(&ask, bytes);
                deputy.answered += 1;
            }
            number += 1;
            if deputy.answered != number {
                return Err(io::Error::other("what is asked isn't what comes next"));
            }
            let (answer, along) = &deputy.last;
            tell(&mut stream, answer, along)?;
        }
    }

    /// Forgets deputies of groups that are gone. Returns whether there are others.
    pub fn sweep(&self) -> bool {
        let mut all = self.all();
        all.retain(|(name, _), _| self.folder.join(name).exists());
        !all.is_empty()
    }

    fn all(&self) -> MutexGuard<'_, ByMember> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what a connection begins with. Returns the deputy if more is to come, and the number of what comes next.
    fn begin(&self, ask: Ask, bytes: &[u8]) -> Result<Option<(Arc<Mutex<Deputy>>, u64)>> {
        let info = || Info::decode(bytes).ok_or_else(damaged);
        match ask {
            Ask::Join(name, next) => Ok(Some((self.join(&name, next, info()?)?, next))),
            Ask::Note(name, text) => {
                let (folder, info) = (self.group(&name)?, info()?);
                let memory = Segment::make(&folder, info.size()).map_err(|error| Broken::own(error.to_string()))?;
                if memory.left(info.rank).is_none() {
                    memory.write_note(info.rank, &text);
                }
                Ok(None)
            }
            Ask::Left(name, members, rank, why) => {
                let left = info::leave(&self.group(&name)?, members as usize, rank as usize, why.as_deref());
                left.map(|()| None).map_err(|error| Broken::own(error.to_string()))
            }
            _ => Err(damaged()),
        }
    }

    /// The folder of the group of this name.
    fn group(&self, name: &str) -> Result<PathBuf> {
        let is_one = name
            .strip_prefix("group-")
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'));
        if is_one { Ok(self.folder.join(name)) } else { Err(damaged()) }
    }

    fn join(&self, name: &str, next: u64, info: Info) -> Result<Arc<Mutex<Deputy>>> {
        let folder = self.group(name)?;
        let mut all = self.all();
        let key = (name.to_owned(), info.rank);
        if let Some(deputy) = all.get(&key) {
            return Ok(Arc::clone(deputy));
        }
        if next > 0 {
            return Err(Broken::group(
                "what the engines of other hosts have in the group is lost: the process that had it on the controller's host \
                 has ended"
                    .into(),
            ));
        }
        let nothing = (Answer::Done(Vec::new(), String::new()), Vec::new());
        let member = Member::open(info, &folder)?;
        let deputy = Deputy { member, answered: 0, last: nothing, kept: Vec::new(), rest: Vec::new() };
        let deputy = Arc::new(Mutex::new(deputy));
        all.insert(key, Arc::clone(&deputy));
        Ok(deputy)
    }
}

impl Deputy {
    /// Does what is asked. A panic in it is what a member's panic is: its end.
    fn answer(&mut self, ask: &Ask, bytes: Vec<u8>) -> (Answer, Vec<u8>) {
        let done = catch_unwind(AssertUnwindSafe(|| self.does(ask, bytes)));
        let broken = match done {
            Ok(Ok(done)) => return done,
            Ok(Err(broken)) => broken,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                let text = text.unwrap_or_else(|| "it panicked".to_owned());
                let place = self.member.info.place(ask.line());
                self.member.memory.leave(
                    self.member.rank(),
                    Left::Failed,
                    Some(&format!("panicked at {place}: {text}")),
                );
                Broken::own(text)
            }
        };
        if !broken.own {
            self.member.give_up(&broken);
        }
        (broken.into(), Vec::new())
    }

    fn does(&mut self, ask: &Ask, mut bytes: Vec<u8>) -> Result<(Answer, Vec<u8>)> {
        let done = |numbers, bytes| Ok((Answer::Done(numbers, String::new()), bytes));
        match ask {
            Ask::Keep => {
                self.kept.append(&mut bytes);
                return done(Vec::new(), Vec::new());
            }
            Ask::More => {
                let part = self.part();
                return done(Vec::new(), part);
            }
            Ask::Fail => {
                self.member.memory.leave(self.member.rank(), Left::Failed, None);
                return done(Vec::new(), Vec::new());
            }
            _ => {}
        }
        let mut along = std::mem::take(&mut self.kept);
        along.append(&mut bytes);
        let begins = |what: &str| self.member.over(what).map_or(Ok(()), Err);
        match ask {
            Ask::Exchange(call, steps) => {
                let call = call.call()?;
                begins(call.kind.name())?;
                let (numbers, parts) = self.exchange(&call, steps, &along)?;
                done(numbers, parts)
            }
            Ask::Reduce(call, whole, kind, how) => {
                let call = call.call()?;
                begins(call.kind.name())?;
                let (width, folds) = folds(*kind).ok_or_else(damaged)?;
                let fold = *folds.get(usize::from(*how)).ok_or_else(damaged)?;
                if !along.len().is_multiple_of(width) {
                    return Err(damaged());
                }
                self.member.reduce_part(&call, &mut along, *whole as usize, fold)?;
                let wanted = call.root.is_none_or(|root| root == self.member.rank());
                done(Vec::new(), if wanted { along } else { Vec::new() })
            }
            Ask::Scatter(call) => {
                let call = call.call()?;
                begins(call.kind.name())?;
                let mut parts = vec![Vec::new(); self.member.size()];
                self.member.scatter(&call, &[&along], &mut |part| parts[part.rank].extend_from_slice(part.bytes))?;
                self.rest = parts.concat();
                let part = self.part();
                done(parts.iter().map(|part| part.len() as u64).collect(), part)
            }
            Ask::Send(to, of, line) => {
                begins("send")?;
                self.member.send(*to as usize, of, *line, &along)?;
                done(Vec::new(), Vec::new())
            }
            Ask::Receive(from, of, line) => {
                begins(if from.is_some() { "recv" } else { "recv_any" })?;
                self.rest.clear();
                let letter = self.member.receive(from.map(|from| from as usize), of, *line, &mut self.rest)?;
                let numbers = vec![letter.from as u64, u64::from(letter.line), self.rest.len() as u64];
                Ok((Answer::Done(numbers, letter.of), self.part()))
            }
            _ => Err(damaged()),
        }
    }

    /// The next part of what is left of an answer.
    fn part(&mut self) -> Vec<u8> {
        let behind = self.rest.split_off(self.rest.len().min(PART));
        std::mem::replace(&mut self.rest, behind)
    }

    /// Some steps, and what came of them: how long the longest is; for each who is asked for how long all is and how much
    /// came; and that.
    fn exchange(&self, call: &Call<'_>, steps: &Steps, mine: &[u8]) -> Result<(Vec<u64>, Vec<u8>)> {
        let (begin, whole) = (steps.at as usize, steps.whole as usize);
        let mut all: Vec<(usize, Vec<u8>)> = vec![(0, Vec::new()); self.member.size()];
        let mut longest = 0;
        for step in 0..steps.most.max(1) as usize {
            let offset = step * CHUNK;
            let rest = mine.get(offset..).unwrap_or_default();
            longest = self.member.step(
                call,
                begin + offset,
                (&[rest], whole),
                &mut |Part { rank, whole, bytes, .. }| {
                    if steps.whose.is_none_or(|of| of as usize == rank) {
                        all[rank].0 = whole;
                        all[rank].1.extend_from_slice(bytes);
                    }
                },
            )?;
            if begin + offset + CHUNK >= longest {
                break;
            }
        }
        let wanted = match steps.whose {
            None => &all[..],
            Some(rank) => all.get(rank as usize..=rank as usize).unwrap_or_default(),
        };
        let mut numbers = vec![longest as u64];
        numbers.extend(wanted.iter().flat_map(|(whole, part)| [*whole as u64, part.len() as u64]));
        Ok((numbers, wanted.iter().flat_map(|(_, part)| part).copied().collect()))
    }
}

impl Ask {
    /// The line in the object's source that has asked.
    fn line(&self) -> u32 {
        match self {
            Ask::Exchange(call, _) | Ask::Reduce(call, ..) | Ask::Scatter(call) => call.line(),
            Ask::Send(_, _, line) | Ask::Receive(_, _, line) => *line,
            _ => 0,
        }
    }
}
