//! Reads instructions that change memory in one step. All do here.

use super::arithmetic;
use super::body::Body;
use super::code::{Change, Kind, Operation, Two, Type};
use super::fault::Fault;
use super::float;
use super::operand::Operand;
use super::suffixes::Suffixes;

impl<'a> Body<'_, 'a> {
    pub(super) fn atomic(&mut self, mut suffixes: Suffixes<'a>, operands: &[Operand<'a>]) -> Result<Operation, Fault> {
        let ty = suffixes.ty()?;
        let names = ["add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec"];
        let name = suffixes.one_of(&names).ok_or_else(|| suffixes.unknown())?;
        let mut what = Self::access(&mut suffixes, ty);
        suffixes.end()?;
        let (to, operands) = match (suffixes.name, operands) {
            ("atom", [Operand::Name("_", 0), rest @ ..]) => (None, rest),
            ("atom", [to, rest @ ..]) => (Some(self.register(to, ty)?), rest),
            _ => (None, operands),
        };
        let whole = matches!(ty.kind, Kind::Unsigned | Kind::Signed);
        let function: Option<Two> = match name {
            // A sum of f32 leaves out the smallest numbers on some devices.
            "add" if ty == Type::new(Kind::Float, 64) => float::two("add.rn", ty),
            "add" | "min" | "max" if whole && ty.bits >= 32 => arithmetic::two(name, ty),
            "and" | "or" | "xor" if ty.kind == Kind::Bits && ty.bits >= 32 => arithmetic::two(name, ty),
            "exch" if ty.kind == Kind::Bits && ty.bits >= 32 => Some(|_, new| new),
            "inc" if ty == Type::new(Kind::Unsigned, 32) => Some(|old, most| if old >= most { 0 } else { old + 1 }),
            "dec" if ty == Type::new(Kind::Unsigned, 32) => {
                Some(|old, most| if old == 0 || old > most { most } else { old - 1 })
            }
            _ => None,
        };
        match (operands, function) {
            ([at, other], Some(function)) => {
                let (at, plus) = self.address(at)?;
                what.plus = plus;
                let change = Change::To(function, self.value(other, ty)?);
                Ok(Operation::Atomic { to, what, at, change })
            }
            ([at, old, new], None) if name == "cas" && ty.kind == Kind::Bits && ty.bits >= 16 => {
                let (at, plus) = self.address(at)?;
                what.plus = plus;
                let change = Change::If(self.value(old, ty)?, self.value(new, ty)?);
                Ok(Operation::Atomic { to, what, at, change })
            }
            _ => Err(suffixes.unknown()),
        }
    }
}
