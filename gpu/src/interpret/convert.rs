//! The instruction `cvt`.

use super::code::{Conversion, Kind, Rounding, Type, extended, low};
use super::float::Float as _;

/// A number as another type has it.
pub(super) fn converted(conversion: &Conversion, value: u64) -> u64 {
    let Conversion { to, from, .. } = *conversion;
    match (from.kind == Kind::Float, to.kind == Kind::Float) {
        (false, false) => register(conversion, clamped(conversion, whole(from, value))),
        (false, true) => from_whole(conversion, whole(from, value)),
        (true, false) => to_whole(conversion, value),
        (true, true) => from_float(conversion, value),
    }
}

fn whole(ty: Type, value: u64) -> i128 {
    match ty.kind {
        Kind::Signed => i128::from(extended(value, ty.bits)),
        _ => i128::from(low(value, ty.bits)),
    }
}

/// The smallest and the largest whole number of a type.
fn range(ty: Type) -> (i128, i128) {
    match ty.kind {
        Kind::Signed => (-(1 << (ty.bits - 1)), (1 << (ty.bits - 1)) - 1),
        _ => (0, (1 << ty.bits) - 1),
    }
}

fn clamped(conversion: &Conversion, value: i128) -> i128 {
    let (smallest, largest) = range(conversion.to);
    if conversion.saturates { value.clamp(smallest, largest) } else { value }
}

/// A result may be narrower than the register that it goes to. Its sign is then copied.
fn register(conversion: &Conversion, value: i128) -> u64 {
    let ty = conversion.to;
    match ty.kind {
        Kind::Signed => low(extended(value as u64, ty.bits) as u64, conversion.register),
        _ => low(value as u64, ty.bits),
    }
}

fn from_whole(conversion: &Conversion, value: i128) -> u64 {
    // Signed numbers and those of 64 bits fit in one of these, which processors convert themselves.
    match (i64::try_from(value), conversion.to.bits) {
        (Ok(value), 32) => saturated(conversion, f64::from(value as f32)),
        (Ok(value), _) => saturated(conversion, value as f64),
        (Err(_), 32) => saturated(conversion, f64::from(value as u64 as f32)),
        (Err(_), _) => saturated(conversion, value as u64 as f64),
    }
}

fn rounded(rounding: Rounding, value: f64) -> f64 {
    match rounding {
        Rounding::Nearest => value.round_ties_even(),
        Rounding::Zero => value.trunc(),
        Rounding::Down => value.floor(),
        Rounding::Up => value.ceil(),
    }
}

fn to_whole(conversion: &Conversion, value: u64) -> u64 {
    let Conversion { to, from, .. } = *conversion;
    let value = if from.bits == 32 { f64::from(f32::of(value)) } else { f64::of(value) };
    if value.is_nan() {
        // Zero, unless one of the types has 64 bits: then it's the highest bit alone.
        let is_zero = from.bits == 32 && to.bits != 64;
        return register(conversion, if is_zero { 0 } else { 1 << (to.bits - 1) });
    }
    let (smallest, largest) = range(to);
    let value = rounded(conversion.rounding.unwrap_or(Rounding::Zero), value);
    register(conversion, (value as i128).clamp(smallest, largest))
}

fn from_float(conversion: &Conversion, value: u64) -> u64 {
    let Conversion { to, from, rounding, .. } = *conversion;
    let wide = if from.bits == 32 { f64::from(f32::of(value)) } else { f64::of(value) };
    // An f32 rounded as an f64 is the same whole number.
    let wide = rounding.map_or(wide, |rounding| rounded(rounding, wide));
    if conversion.saturates || rounding.is_some() || from.bits != to.bits {
        return saturated(conversion, wide);
    }
    value
}

/// The bits of a result. If it saturates, it's from 0 to 1.
fn saturated(conversion: &Conversion, value: f64) -> u64 {
    let value = match conversion.saturates {
        true if value > 0.0 => value.min(1.0),
        true => 0.0,
        false => value,
    };
    if conversion.to.bits == 32 { (value as f32).settled(&[]) } else { value.settled(&[value]) }
}
