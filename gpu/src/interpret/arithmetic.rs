//! What the instructions for whole numbers and bits work out, chosen by type once, when they are read.

use super::code::{Four, Kind, One, Three, Two, Type, extended, low};

/// A result as the low bits of a register.
pub(super) trait Bits {
    fn bits(self) -> u64;
}

macro_rules! bits {
    ($($type:ty as $unsigned:ty),*) => { $(impl Bits for $type {
        fn bits(self) -> u64 { u64::from(self as $unsigned) }
    })* };
}
bits!(u8 as u8, i8 as u8, u16 as u16, i16 as u16, u32 as u32, i32 as u32, u64 as u64, i64 as u64, bool as bool);

/// A function of whole numbers of `$type`, which is `$T` in it and twice as wide as `$W`. `None` for other types.
macro_rules! whole {
    ($type:expr, $T:ident, $W:ident => $function:expr) => {
        match ($type.kind, $type.bits) {
            (Kind::Bits | Kind::Unsigned, 8) => {
                type $T = u8;
                type $W = u16;
                Some($function)
            }
            (Kind::Bits | Kind::Unsigned, 16) => {
                type $T = u16;
                type $W = u32;
                Some($function)
            }
            (Kind::Bits | Kind::Unsigned, 32) => {
                type $T = u32;
                type $W = u64;
                Some($function)
            }
            (Kind::Bits | Kind::Unsigned, 64) => {
                type $T = u64;
                type $W = u128;
                Some($function)
            }
            (Kind::Signed, 8) => {
                type $T = i8;
                type $W = i16;
                Some($function)
            }
            (Kind::Signed, 16) => {
                type $T = i16;
                type $W = i32;
                Some($function)
            }
            (Kind::Signed, 32) => {
                type $T = i32;
                type $W = i64;
                Some($function)
            }
            (Kind::Signed, 64) => {
                type $T = i64;
                type $W = i128;
                Some($function)
            }
            _ => None,
        }
    };
}

#[rustfmt::skip]
pub(super) fn one(name: &str, ty: Type) -> Option<One> {
    if ty.kind == Kind::Predicate {
        return (name == "not").then_some(|a| a ^ 1);
    }
    #[allow(unused, reason = "Not each function needs the wide type.")]
    match name {
        "not" => whole!(ty, T, W => |a| (!(a as T)).bits()),
        "neg" => whole!(ty, T, W => |a| (a as T).wrapping_neg().bits()),
        "abs" if ty == Type::new(Kind::Signed, 16) => Some(|a| (a as i16).wrapping_abs().bits()),
        "abs" if ty == Type::new(Kind::Signed, 32) => Some(|a| (a as i32).wrapping_abs().bits()),
        "abs" if ty == Type::new(Kind::Signed, 64) => Some(|a| (a as i64).wrapping_abs().bits()),
        "popc" => whole!(ty, T, W => |a| (a as T).count_ones().bits()),
        "clz" => whole!(ty, T, W => |a| (a as T).leading_zeros().bits()),
        "brev" => whole!(ty, T, W => |a| (a as T).reverse_bits().bits()),
        // The highest bit that isn't as the sign is.
        "bfind" => whole!(ty, T, W => |a| highest::<{ T::BITS }>(a, T::MIN != 0).bits()),
        "bfind.shiftamt" => whole!(ty, T, W => |a| match highest::<{ T::BITS }>(a, T::MIN != 0) {
            u32::MAX => u64::from(u32::MAX),
            at => (T::BITS - 1 - at).bits(),
        }),
        _ => None,
    }
}

fn highest<const BITS: u32>(value: u64, signed: bool) -> u32 {
    let value = if signed && extended(value, BITS) < 0 { low(!value, BITS) } else { low(value, BITS) };
    value.checked_ilog2().unwrap_or(u32::MAX)
}

#[rustfmt::skip]
pub(super) fn two(name: &str, ty: Type) -> Option<Two> {
    if ty.kind == Kind::Predicate {
        return match name {
            "and" => Some(|a, b| a & b),
            "or" => Some(|a, b| a | b),
            "xor" => Some(|a, b| a ^ b),
            _ => None,
        };
    }
    #[allow(unused, reason = "Not each function needs the wide type.")]
    match name {
        "and" => Some(|a, b| a & b),
        "or" => Some(|a, b| a | b),
        "xor" => Some(|a, b| a ^ b),
        "add" => whole!(ty, T, W => |a, b| (a as T).wrapping_add(b as T).bits()),
        "sub" => whole!(ty, T, W => |a, b| (a as T).wrapping_sub(b as T).bits()),
        "mul.lo" => whole!(ty, T, W => |a, b| (a as T).wrapping_mul(b as T).bits()),
        "mul.hi" => whole!(ty, T, W => |a, b| (((W::from(a as T) * W::from(b as T)) >> T::BITS) as T).bits()),
        "mul.wide" if ty.bits == 16 || ty.bits == 32 => match (ty.kind == Kind::Signed, ty.bits) {
            (false, 16) => Some(|a, b| (u32::from(a as u16) * u32::from(b as u16)).bits()),
            (false, _) => Some(|a, b| u64::from(a as u32) * u64::from(b as u32)),
            (true, 16) => Some(|a, b| (i32::from(a as i16) * i32::from(b as i16)).bits()),
            (true, _) => Some(|a, b| (i64::from(a as i32) * i64::from(b as i32)).bits()),
        },
        // PTX leaves open what a division by zero gives. Rust checks before each.
        "div" => whole!(ty, T, W => |a, b| {
            if b as T == 0 { (!0u64 as T).bits() } else { (a as T).wrapping_div(b as T).bits() }
        }),
        "rem" => whole!(ty, T, W => |a, b| {
            if b as T == 0 { (a as T).bits() } else { (a as T).wrapping_rem(b as T).bits() }
        }),
        "min" => whole!(ty, T, W => |a, b| (a as T).min(b as T).bits()),
        "max" => whole!(ty, T, W => |a, b| (a as T).max(b as T).bits()),
        "shl" => whole!(ty, T, W => |a, n| if n >= u64::from(T::BITS) { 0 } else { ((a as T) << n).bits() }),
        "shr" => whole!(ty, T, W => |a, n| match (n >= u64::from(T::BITS), T::MIN == 0) {
            (false, _) => ((a as T) >> n).bits(),
            (true, true) => 0,
            (true, false) => ((a as T) >> (T::BITS - 1)).bits(),
        }),
        "eq" => whole!(ty, T, W => |a, b| (a as T == b as T).bits()),
        "ne" => whole!(ty, T, W => |a, b| (a as T != b as T).bits()),
        _ if ty.kind == Kind::Bits => None,
        "lt" => whole!(ty, T, W => |a, b| ((a as T) < b as T).bits()),
        "le" => whole!(ty, T, W => |a, b| (a as T <= b as T).bits()),
        "gt" => whole!(ty, T, W => |a, b| (a as T > b as T).bits()),
        "ge" => whole!(ty, T, W => |a, b| (a as T >= b as T).bits()),
        _ if ty.kind == Kind::Signed => None,
        "lo" => two("lt", ty),
        "ls" => two("le", ty),
        "hi" => two("gt", ty),
        "hs" => two("ge", ty),
        _ => None,
    }
}

#[rustfmt::skip]
pub(super) fn three(name: &str, ty: Type) -> Option<Three> {
    #[allow(unused, reason = "Not each function needs the wide type.")]
    match name {
        "selp" => Some(|a, b, p| if p != 0 { a } else { b }),
        "mad.lo" => whole!(ty, T, W => |a, b, c| (a as T).wrapping_mul(b as T).wrapping_add(c as T).bits()),
        "mad.hi" => whole!(ty, T, W => |a, b, c| {
            (((W::from(a as T) * W::from(b as T)) >> T::BITS) as T).wrapping_add(c as T).bits()
        }),
        "mad.wide" if ty.bits == 16 || ty.bits == 32 => match (ty.kind == Kind::Signed, ty.bits) {
            (false, 16) => Some(|a, b, c| (u32::from(a as u16) * u32::from(b as u16)).wrapping_add(c as u32).bits()),
            (false, _) => Some(|a, b, c| (u64::from(a as u32) * u64::from(b as u32)).wrapping_add(c)),
            (true, 16) => Some(|a, b, c| (i32::from(a as i16) * i32::from(b as i16)).wrapping_add(c as i32).bits()),
            (true, _) => Some(|a, b, c| (i64::from(a as i32) * i64::from(b as i32)).wrapping_add(c as i64).bits()),
        },
        "bfe" => whole!(ty, T, W => |a, at, count| extracted::<{ T::BITS }>(a, at, count, T::MIN != 0)),
        "prmt" => Some(permuted),
        "shf.l.wrap" => Some(|a, b, n| (low(b, 32) << 32 | low(a, 32)) << (n & 31) >> 32),
        "shf.l.clamp" => Some(|a, b, n| (low(b, 32) << 32 | low(a, 32)) << n.min(32) >> 32),
        "shf.r.wrap" => Some(|a, b, n| low((low(b, 32) << 32 | low(a, 32)) >> (n & 31), 32)),
        "shf.r.clamp" => Some(|a, b, n| low((low(b, 32) << 32 | low(a, 32)) >> n.min(32), 32)),
        _ => None,
    }
}

pub(super) fn four(name: &str, ty: Type) -> Option<Four> {
    match (name, ty.bits) {
        ("bfi", 32) => Some(inserted::<32>),
        ("bfi", 64) => Some(inserted::<64>),
        ("lop3", 32) => Some(looked_up),
        _ => None,
    }
}

/// The low bits of `szext`: all from one on are as the sign, or 0.
pub(super) fn cut(clamps: bool, signed: bool) -> Two {
    fn cut(value: u64, count: u64, signed: bool) -> u64 {
        match (count, signed) {
            (0, _) => 0,
            (1..32, true) => low(extended(value, count as u32) as u64, 32),
            (1..32, false) => low(value, count as u32),
            _ => low(value, 32),
        }
    }
    match (clamps, signed) {
        (true, true) => |a, n| cut(a, n, true),
        (true, false) => |a, n| cut(a, n, false),
        (false, true) => |a, n| cut(a, n & 31, true),
        (false, false) => |a, n| cut(a, n & 31, false),
    }
}

fn extracted<const BITS: u32>(value: u64, at: u64, count: u64, signed: bool) -> u64 {
    let (at, count) = ((at & 0xff) as u32, (count & 0xff) as u32);
    let bit = |at: u32| value >> at.min(BITS - 1) & 1;
    let sign = if signed && count > 0 { bit(at + count - 1) } else { 0 };
    let found = |index: u32| if index < count && at + index < BITS { bit(at + index) } else { sign };
    (0..BITS).fold(0, |all, index| all | found(index) << index)
}

fn inserted<const BITS: u32>(from: u64, into: u64, at: u64, count: u64) -> u64 {
    let (at, count) = ((at & 0xff) as u32, (count & 0xff) as u32);
    let end = (at + count).min(BITS);
    let mask = low(u64::MAX, end) & !low(u64::MAX, at);
    (into & !mask) | (from.checked_shl(at).unwrap_or(0) & mask)
}

/// `prmt` without a mode. A choice's highest bit asks for the sign of the byte.
fn permuted(a: u64, b: u64, choices: u64) -> u64 {
    let all = low(b, 32) << 32 | low(a, 32);
    let chosen = |index: u32| {
        let choice = choices >> (4 * index);
        let byte = all >> (8 * (choice & 7)) & 0xff;
        match (choice & 8 != 0, byte & 0x80 != 0) {
            (false, _) => byte,
            (true, sign) => u64::from(sign) * 0xff,
        }
    };
    (0..4).fold(0, |all, index| all | chosen(index) << (8 * index))
}

/// `lop3`: each bit is one of a table's, by the three bits there.
fn looked_up(a: u64, b: u64, c: u64, table: u64) -> u64 {
    let chosen = |index: u32| table >> ((a >> index & 1) << 2 | (b >> index & 1) << 1 | (c >> index & 1)) & 1;
    (0..32).fold(0, |all, index| all | chosen(index) << index)
}
