//! What a module is made into: numbers instead of names.

use std::collections::HashMap;

/// PTX that was read.
#[derive(Debug)]
pub struct Module {
    pub(super) functions: Vec<Function>,
    pub(super) named: HashMap<String, u32>,
    pub(super) globals: Vec<Global>,
}

impl Module {
    /// Whether there is code for a function or an entry.
    pub fn has(&self, function: &str) -> bool {
        self.function(function).is_some_and(|it| it.code.is_some())
    }

    pub(super) fn function(&self, name: &str) -> Option<&Function> {
        self.functions.get(*self.named.get(name)? as usize)
    }
}

#[derive(Debug, Default)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) is_entry: bool,
    /// A function that is only mentioned isn't.
    pub(super) is_declared: bool,
    pub(super) parameters: Vec<Variable>,
    pub(super) result: Option<Variable>,
    /// None if it is elsewhere.
    pub(super) code: Option<Vec<Instruction>>,
    pub(super) registers: u32,
    /// Bytes for parameters and variables.
    pub(super) frame: u64,
    pub(super) align: u64,
}

/// Bytes in the frame of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

#[derive(Debug)]
pub(super) struct Global {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) align: u64,
    pub(super) start: Vec<u8>,
    pub(super) addresses: Vec<Relocation>,
}

/// An address in the initial value of a global.
#[derive(Debug)]
pub(super) struct Relocation {
    pub(super) at: usize,
    pub(super) bytes: usize,
    /// How many bits of the address are left out.
    pub(super) shift: u32,
    pub(super) symbol: Symbol,
    pub(super) plus: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Symbol {
    Global(u32),
    Function(u32),
}

/// What an instruction reads.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    Register(u32),
    Bits(u64),
    /// The address of a global, and what is added to it.
    Global(u32, u64),
    /// The address of a variable.
    Frame(u64),
    Special(Special),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Special {
    Thread(Axis),
    Threads(Axis),
    Block(Axis),
    Blocks(Axis),
}

/// A direction of a grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    X,
    Y,
    Z,
}

pub(super) type One = fn(u64) -> u64;
pub(super) type Two = fn(u64, u64) -> u64;
pub(super) type Three = fn(u64, u64, u64) -> u64;
pub(super) type Four = fn(u64, u64, u64, u64) -> u64;

#[derive(Debug)]
pub(super) struct Instruction {
    /// It is left out unless this register is so.
    pub(super) guard: Option<(u32, bool)>,
    pub(super) operation: Operation,
}

/// Registers hold their bits in the low end of 64, with zeros above.
#[derive(Debug)]
pub(super) enum Operation {
    Move(u32, Value),
    One(One, u32, Value),
    Two(Two, u32, Value, Value),
    Three(Three, u32, Value, Value, Value),
    Four(Four, u32, [Value; 4]),
    Convert(Conversion, u32, Value),
    /// A sum or a difference that reads or sets the carry.
    Carry(Carry, u32, Value, Value),
    Pack {
        to: u32,
        bits: u32,
        parts: Box<[Value]>,
    },
    Unpack {
        to: Box<[Option<u32>]>,
        bits: u32,
        from: Value,
    },
    Load {
        to: u32,
        what: Access,
        from: Value,
    },
    LoadAll {
        to: Box<[Option<u32>]>,
        what: Access,
        from: Value,
    },
    Store {
        what: Access,
        to: Value,
        from: Value,
    },
    StoreAll {
        what: Access,
        to: Value,
        from: Box<[Value]>,
    },
    Atomic {
        to: Option<u32>,
        what: Access,
        at: Value,
        change: Change,
    },
    Branch(u32),
    BranchOneOf(Value, Box<[u32]>),
    Call(Box<Call>),
    Return,
    Exit,
    Trap,
    /// The threads of a block wait for each other.
    Barrier,
    Nothing,
}

/// Which memory is meant. `Any` is a generic address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    Any,
    Global,
    Local,
}

/// How memory is read or written, and where in relation to an address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Access {
    pub(super) space: Space,
    /// Of one element.
    pub(super) bytes: u64,
    /// If the sign is copied to the bits above, how many bits there are in the register.
    pub(super) signed: Option<u32>,
    pub(super) plus: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Change {
    /// From the old value and another.
    To(Two, Value),
    /// To the second, if it is the first.
    If(Value, Value),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Carry {
    pub(super) subtracts: bool,
    pub(super) reads: bool,
    pub(super) sets: bool,
    pub(super) bits: u32,
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) target: Target,
    pub(super) arguments: Vec<Variable>,
    pub(super) result: Option<Variable>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    Function(u32),
    Pointer(Value),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bits,
    Unsigned,
    Signed,
    Float,
    Predicate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Type {
    pub(super) kind: Kind,
    pub(super) bits: u32,
}

impl Type {
    pub(super) const fn new(kind: Kind, bits: u32) -> Self {
        Self { kind, bits }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        if name == "pred" {
            return Some(Self::new(Kind::Predicate, 1));
        }
        let (kind, bits) = name.split_at_checked(1)?;
        let (kind, widths): (_, &[&str]) = match kind {
            "b" => (Kind::Bits, &["8", "16", "32", "64"]),
            "u" => (Kind::Unsigned, &["8", "16", "32", "64"]),
            "s" => (Kind::Signed, &["8", "16", "32", "64"]),
            "f" => (Kind::Float, &["32", "64"]),
            _ => return None,
        };
        let bits = widths.contains(&bits).then(|| bits.parse().ok())??;
        Some(Self::new(kind, bits))
    }

    pub(super) fn bytes(self) -> u64 {
        u64::from(self.bits.div_ceil(8))
    }
}

/// Conversion between numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Conversion {
    pub(super) to: Type,
    pub(super) from: Type,
    /// To a whole number.
    pub(super) rounding: Option<Rounding>,
    pub(super) saturates: bool,
    /// Bits of the register that the result goes to.
    pub(super) register: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rounding {
    Nearest,
    Zero,
    Down,
    Up,
}

/// The low bits.
pub(super) fn low(value: u64, bits: u32) -> u64 {
    if bits >= 64 { value } else { value & ((1 << bits) - 1) }
}

/// A number of so many bits with its sign copied to all above.
pub(super) fn extended(value: u64, bits: u32) -> i64 {
    let unused = 64u32.saturating_sub(bits).min(63);
    ((value << unused) as i64) >> unused
}
