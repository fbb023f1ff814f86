//! The parts of an instruction's name.

use super::code::Type;
use super::fault::Fault;

/// The parts of an instruction's name.
pub(super) struct Suffixes<'a> {
    all: &'a str,
    pub(super) name: &'a str,
    pub(super) rest: Vec<&'a str>,
}

impl<'a> Suffixes<'a> {
    pub(super) fn new(all: &'a str) -> Self {
        let mut parts = all.split('.');
        let name = parts.next().unwrap_or_default();
        Self { all, name, rest: parts.collect() }
    }

    pub(super) fn unknown(&self) -> Fault {
        Fault::Unsupported { instruction: self.all.to_owned() }
    }

    /// Takes the type that is last.
    pub(super) fn ty(&mut self) -> Result<Type, Fault> {
        let last = self.rest.pop().and_then(Type::named);
        last.ok_or_else(|| self.unknown())
    }

    /// Takes a suffix if it is there.
    pub(super) fn has(&mut self, wanted: &'static str) -> bool {
        self.one_of(&[wanted]).is_some()
    }

    /// Takes the first suffix that is one of these.
    pub(super) fn one_of(&mut self, wanted: &[&'static str]) -> Option<&'static str> {
        let (at, found) =
            self.rest.iter().enumerate().find_map(|(at, it)| Some((at, *wanted.iter().find(|one| *one == it)?)))?;
        self.rest.remove(at);
        Some(found)
    }

    /// Nothing may be left that isn't known.
    pub(super) fn end(&self) -> Result<(), Fault> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.unknown()) }
    }

    /// The type of each of `count` parts.
    pub(super) fn part(&self, ty: Type, count: usize) -> Result<Type, Fault> {
        match (ty.bits, count) {
            (16, 2) | (32, 2 | 4) | (64, 2 | 4) => Ok(Type::new(ty.kind, ty.bits / count as u32)),
            _ => Err(self.unknown()),
        }
    }
}
