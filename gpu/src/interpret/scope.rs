//! What names mean in the body of a function.

use super::code::{Type, Variable};
use std::collections::HashMap;

/// No code of LLVM's comes near to it.
const MOST_REGISTERS: u64 = 1 << 16;
/// Bytes for variables.
const MOST_BYTES: u64 = 1 << 20;

#[derive(Debug, Clone)]
pub(super) enum Named {
    Register(u32, Type),
    Variable(Variable),
    /// Labels that a branch chooses from.
    Targets(Box<[u32]>),
    /// What a function that is called by its address takes and gives.
    Prototype {
        arguments: Vec<u64>,
        result: Option<u64>,
    },
}

#[derive(Default)]
struct Scope<'a> {
    names: HashMap<&'a str, Named>,
    /// Registers that were declared as `%r<10>`.
    ranges: Vec<(&'a str, u64, u32, Type)>,
    frame: u64,
}

/// The names of a function, and the room that its registers and variables take.
pub(super) struct Names<'a> {
    scopes: Vec<Scope<'a>>,
    pub(super) registers: u32,
    /// The bytes of what is in use now.
    used: u64,
    pub(super) frame: u64,
    pub(super) align: u64,
}

impl<'a> Names<'a> {
    pub(super) fn new() -> Self {
        Self { scopes: vec![Scope::default()], registers: 0, used: 0, frame: 0, align: 8 }
    }

    pub(super) fn enter(&mut self) {
        self.scopes.push(Scope { frame: self.used, ..Scope::default() });
    }

    /// What was declared in a scope is gone behind it, and others may have its room. False if it was the last.
    pub(super) fn leave(&mut self) -> bool {
        if let Some(scope) = self.scopes.pop() {
            self.used = scope.frame;
        }
        self.scopes.len() > 1
    }

    /// A name that nothing else may have there. False if there is such a thing.
    pub(super) fn add(&mut self, name: &'a str, named: Named) -> bool {
        self.scopes.last_mut().is_some_and(|scope| scope.names.insert(name, named).is_none())
    }

    pub(super) fn register(&mut self) -> Option<u32> {
        let new = self.registers;
        self.registers = new.checked_add(1).filter(|all| u64::from(*all) <= MOST_REGISTERS)?;
        Some(new)
    }

    /// Registers with a number behind their name.
    pub(super) fn range(&mut self, name: &'a str, count: u64, ty: Type) -> Option<()> {
        let first = self.registers;
        let all = u64::from(first).checked_add(count).filter(|all| *all <= MOST_REGISTERS)?;
        self.registers = u32::try_from(all).ok()?;
        self.scopes.last_mut()?.ranges.push((name, count, first, ty));
        Some(())
    }

    /// Room in the frame.
    pub(super) fn room(&mut self, bytes: u64, align: u64) -> Option<Variable> {
        if !align.is_power_of_two() || align > 4096 {
            return None;
        }
        let offset = self.used.checked_next_multiple_of(align)?;
        self.used = offset.checked_add(bytes).filter(|end| *end <= MOST_BYTES)?;
        self.frame = self.frame.max(self.used);
        self.align = self.align.max(align);
        Some(Variable { offset, bytes })
    }

    pub(super) fn get(&self, name: &str) -> Option<Named> {
        let digits = name.len() - name.bytes().rev().take_while(u8::is_ascii_digit).count();
        let numbered = name.split_at_checked(digits);
        self.scopes.iter().rev().find_map(|scope| {
            if let Some(found) = scope.names.get(name) {
                return Some(found.clone());
            }
            let (prefix, number) = numbered?;
            let number: u64 = number.parse().ok()?;
            let (_, _, first, ty) = scope.ranges.iter().find(|it| it.0 == prefix && number < it.1)?;
            Some(Named::Register(first + u32::try_from(number).ok()?, *ty))
        })
    }
}
