//! What the instructions for floating-point numbers work out.
//!
//! An f32 that isn't a number is always the same, as on NVIDIA's devices. An f64 keeps the bits of the first operand that
//! isn't one. What processors do there differs, so it is done by hand.

use super::arithmetic::Bits;
use super::code::{Kind, One, Three, Two, Type};

const NAN32: u32 = 0x7fff_ffff;
const QUIET: u64 = 1 << 51;
const NAN64: u64 = 0xfff8_0000_0000_0000;
/// What `min` and `max` of two that aren't numbers are.
const NEITHER64: u64 = 0x7fff_ffff_ffff_ffff;

pub(super) trait Float: Copy + PartialOrd {
    fn of(bits: u64) -> Self;
    fn raw(self) -> u64;
    fn is_number(self) -> bool;
    /// The bits of a result.
    fn settled(self, operands: &[Self]) -> u64;
    const NEITHER: u64;
}

impl Float for f32 {
    fn of(bits: u64) -> Self {
        Self::from_bits(bits as u32)
    }
    fn raw(self) -> u64 {
        u64::from(self.to_bits())
    }
    fn is_number(self) -> bool {
        !self.is_nan()
    }
    fn settled(self, _: &[Self]) -> u64 {
        u64::from(if self.is_nan() { NAN32 } else { self.to_bits() })
    }
    const NEITHER: u64 = NAN32 as u64;
}

impl Float for f64 {
    fn of(bits: u64) -> Self {
        Self::from_bits(bits)
    }
    fn raw(self) -> u64 {
        self.to_bits()
    }
    fn is_number(self) -> bool {
        !self.is_nan()
    }
    fn settled(self, operands: &[Self]) -> u64 {
        if !self.is_nan() {
            return self.to_bits();
        }
        operands.iter().find(|it| it.is_nan()).map_or(NAN64, |it| it.to_bits() | QUIET)
    }
    const NEITHER: u64 = NEITHER64;
}

/// A function of floating-point numbers of `$type`, which is `$F` in it. `None` for other types.
macro_rules! float {
    ($type:expr, $F:ident => $function:expr) => {
        match ($type.kind, $type.bits) {
            (Kind::Float, 32) => {
                type $F = f32;
                Some($function)
            }
            (Kind::Float, 64) => {
                type $F = f64;
                Some($function)
            }
            _ => None,
        }
    };
}

#[rustfmt::skip]
pub(super) fn one(name: &str, ty: Type) -> Option<One> {
    match name {
        // The sign is changed even of what isn't a number.
        "neg" => float!(ty, F => |a| (-F::of(a)).raw()),
        "abs" => float!(ty, F => |a| F::of(a).abs().raw()),
        "sqrt.rn" => float!(ty, F => |a| F::of(a).sqrt().settled(&[F::of(a)])),
        "rcp.rn" => float!(ty, F => |a| (1.0 / F::of(a)).settled(&[F::of(a)])),
        "testp.finite" => float!(ty, F => |a| F::of(a).is_finite().bits()),
        "testp.infinite" => float!(ty, F => |a| F::of(a).is_infinite().bits()),
        "testp.number" => float!(ty, F => |a| F::of(a).is_number().bits()),
        "testp.notanumber" => float!(ty, F => |a| F::of(a).is_nan().bits()),
        "testp.normal" => float!(ty, F => |a| F::of(a).is_normal().bits()),
        "testp.subnormal" => float!(ty, F => |a| F::of(a).is_subnormal().bits()),
        _ => None,
    }
}

#[rustfmt::skip]
pub(super) fn two(name: &str, ty: Type) -> Option<Two> {
    match name {
        "add.rn" => float!(ty, F => |a, b| (F::of(a) + F::of(b)).settled(&[F::of(a), F::of(b)])),
        "sub.rn" => float!(ty, F => |a, b| (F::of(a) - F::of(b)).settled(&[F::of(a), F::of(b)])),
        "mul.rn" => float!(ty, F => |a, b| (F::of(a) * F::of(b)).settled(&[F::of(a), F::of(b)])),
        "div.rn" => float!(ty, F => |a, b| (F::of(a) / F::of(b)).settled(&[F::of(a), F::of(b)])),
        "min" => float!(ty, F => |a, b| chosen(F::of(a), F::of(b), |a, b| a < b || (a == b && a.is_sign_negative()))),
        "max" => float!(ty, F => |a, b| chosen(F::of(a), F::of(b), |a, b| a > b || (a == b && a.is_sign_positive()))),
        // The sign is the first one's.
        "copysign" => float!(ty, F => |a, b| F::of(b).copysign(F::of(a)).raw()),
        "eq" => float!(ty, F => |a, b| (F::of(a) == F::of(b)).bits()),
        "ne" => float!(ty, F => |a, b| (F::of(a) < F::of(b) || F::of(a) > F::of(b)).bits()),
        "lt" => float!(ty, F => |a, b| (F::of(a) < F::of(b)).bits()),
        "le" => float!(ty, F => |a, b| (F::of(a) <= F::of(b)).bits()),
        "gt" => float!(ty, F => |a, b| (F::of(a) > F::of(b)).bits()),
        "ge" => float!(ty, F => |a, b| (F::of(a) >= F::of(b)).bits()),
        // Those with a `u` are so as well if one isn't a number.
        "equ" => float!(ty, F => |a, b| (!(F::of(a) < F::of(b) || F::of(a) > F::of(b))).bits()),
        "neu" => float!(ty, F => |a, b| (F::of(a) != F::of(b)).bits()),
        "ltu" => float!(ty, F => |a, b| (F::of(a) >= F::of(b)).bits() ^ 1),
        "leu" => float!(ty, F => |a, b| (F::of(a) > F::of(b)).bits() ^ 1),
        "gtu" => float!(ty, F => |a, b| (F::of(a) <= F::of(b)).bits() ^ 1),
        "geu" => float!(ty, F => |a, b| (F::of(a) < F::of(b)).bits() ^ 1),
        "num" => float!(ty, F => |a, b| (F::of(a).is_number() && F::of(b).is_number()).bits()),
        "nan" => float!(ty, F => |a, b| (F::of(a).is_nan() || F::of(b).is_nan()).bits()),
        _ => None,
    }
}

pub(super) fn three(name: &str, ty: Type) -> Option<Three> {
    match name {
        "fma.rn" => float!(ty, F => |a, b, c| {
            F::of(a).mul_add(F::of(b), F::of(c)).settled(&[F::of(a), F::of(b), F::of(c)])
        }),
        _ => None,
    }
}

/// `min` or `max`: of a number and what isn't one, the number. -0 is less than 0.
fn chosen<F: Float>(a: F, b: F, is_first: impl Fn(F, F) -> bool) -> u64 {
    match (a.is_number(), b.is_number()) {
        (true, true) if is_first(a, b) => a.raw(),
        (_, true) => b.raw(),
        (true, false) => a.raw(),
        (false, false) => F::NEITHER,
    }
}
