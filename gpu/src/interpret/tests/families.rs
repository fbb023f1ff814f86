//! The instructions of each family, with what Rust works out.

use super::super::{Device, Fault, Memory, Module};
use super::{entry, result, same, tried};

const WHOLE: [u64; 24] = [
    0,
    1,
    2,
    3,
    7,
    31,
    32,
    33,
    63,
    64,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x1234_5678_9abc_def0,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// An instruction's name and what it says.
type Of<F> = (&'static str, F);
type OfOne = Of<fn(f32) -> bool>;
type OfTwo = Of<fn(f64, f64) -> bool>;

fn singles() -> Vec<u64> {
    let numbers =
        [0.0, 0.5, 1.0, 1.5, 2.5, 3.7, 126.5, 255.5, 32767.5, 65535.5, 2147483648.0, 4294967296.0, 1e10, 2e19];
    let more = [f32::MAX, f32::INFINITY, f32::NAN, f32::MIN_POSITIVE, 1e-40];
    let all = numbers.iter().chain(&more);
    all.flat_map(|it| [it.to_bits().into(), (-it).to_bits().into()]).collect()
}

fn doubles() -> Vec<u64> {
    let numbers =
        [0.0, 0.5, 1.0, 1.5, 2.5, 3.7, 126.5, 255.5, 32767.5, 65535.5, 2147483648.0, 4294967296.0, 1e10, 2e19];
    let more = [f64::MAX, f64::INFINITY, f64::NAN, f64::MIN_POSITIVE, 1e-310, 9223372036854775807.0, 4294967295.5];
    let all = numbers.iter().chain(&more);
    all.flat_map(|it| [it.to_bits(), (-it).to_bits()]).collect()
}

/// An f32 that isn't a number is always the same.
fn single(x: f32) -> u64 {
    if x.is_nan() { 0x7fff_ffff } else { x.to_bits().into() }
}

fn f(bits: u64) -> f32 {
    f32::from_bits(bits as u32)
}

fn d(bits: u64) -> f64 {
    f64::from_bits(bits)
}

/// Runs an instruction for whole numbers of 16, 32 and 64 bits: `name.KIND16 $, ...`.
macro_rules! widths {
    ($name:literal, $kind:literal, $operands:literal, [$($T:ident $U:ident $register:literal),*], $wanted:expr) => { $({
        type T = $T;
        let registers = $operands.replace('%', concat!("%", $register));
        let instruction = format!("{}.{}{} $, {registers}", $name, $kind, T::BITS);
        #[allow(clippy::redundant_closure_call, reason = "Its types are chosen by T.")]
        same(&instruction, $register.chars().next().unwrap(), &WHOLE, |a, b, c| {
            let wanted: fn(T, T, T) -> T = $wanted;
            u64::from(wanted(a as T, b as T, c as T) as $U)
        });
    })* };
}
macro_rules! unsigned {
    ($name:literal, $kind:literal, $operands:literal, $wanted:expr) => {
        widths!($name, $kind, $operands, [u16 u16 "h", u32 u32 "r", u64 u64 "d"], $wanted)
    };
}
macro_rules! signed {
    ($name:literal, $operands:literal, $wanted:expr) => {
        widths!($name, "s", $operands, [i16 u16 "h", i32 u32 "r", i64 u64 "d"], $wanted)
    };
}

#[test]
fn whole_numbers() {
    unsigned!("add", "u", "%1, %2", |a, b, _| a.wrapping_add(b));
    signed!("add", "%1, %2", |a, b, _| a.wrapping_add(b));
    unsigned!("sub", "u", "%1, %2", |a, b, _| a.wrapping_sub(b));
    unsigned!("mul.lo", "u", "%1, %2", |a, b, _| a.wrapping_mul(b));
    unsigned!("mul.hi", "u", "%1, %2", |a, b, _| ((u128::from(a) * u128::from(b)) >> T::BITS) as T);
    signed!("mul.hi", "%1, %2", |a, b, _| ((i128::from(a) * i128::from(b)) >> T::BITS) as T);
    unsigned!("mad.lo", "u", "%1, %2, %3", |a, b, c| a.wrapping_mul(b).wrapping_add(c));
    signed!("mad.hi", "%1, %2, %3", |a, b, c| (((i128::from(a) * i128::from(b)) >> T::BITS) as T).wrapping_add(c));
    unsigned!("div", "u", "%1, %2", |a, b, _| a.checked_div(b).unwrap_or(T::MAX));
    signed!("div", "%1, %2", |a, b, _| if b == 0 { -1 } else { a.wrapping_div(b) });
    unsigned!("rem", "u", "%1, %2", |a, b, _| a.checked_rem(b).unwrap_or(a));
    signed!("rem", "%1, %2", |a, b, _| if b == 0 { a } else { a.wrapping_rem(b) });
    unsigned!("min", "u", "%1, %2", |a, b, _| a.min(b));
    signed!("min", "%1, %2", |a, b, _| a.min(b));
    unsigned!("max", "u", "%1, %2", |a, b, _| a.max(b));
    signed!("max", "%1, %2", |a, b, _| a.max(b));
    signed!("neg", "%1", |a, _, _| a.wrapping_neg());
    signed!("abs", "%1", |a, _, _| a.wrapping_abs());
    same("mul.wide.u16 $, %h1, %h2", 'r', &WHOLE, |a, b, _| u64::from(a as u16) * u64::from(b as u16));
    same("mul.wide.s16 $, %h1, %h2", 'r', &WHOLE, |a, b, _| (i32::from(a as i16) * i32::from(b as i16)) as u32 as u64);
    same("mul.wide.u32 $, %r1, %r2", 'd', &WHOLE, |a, b, _| u64::from(a as u32) * u64::from(b as u32));
    same("mul.wide.s32 $, %r1, %r2", 'd', &WHOLE, |a, b, _| (i64::from(a as i32) * i64::from(b as i32)) as u64);
    same("mad.wide.s32 $, %r1, %r2, %d3", 'd', &WHOLE, |a, b, c| {
        (i64::from(a as i32) * i64::from(b as i32)).wrapping_add(c as i64) as u64
    });
    same("mad.wide.u32 $, %r1, %r2, %d3", 'd', &WHOLE, |a, b, c| {
        (u64::from(a as u32) * u64::from(b as u32)).wrapping_add(c)
    });
}

#[test]
fn sums_with_a_carry() {
    let both = |low: &str, high: &str, carry: &str| {
        format!("{low}.s64 %d4, %d1, %d2; {carry}.s64 %d5, %d3, %d1; {high}.u64 $, %d5, %d4")
    };
    same(&both("add.cc", "xor", "addc.cc").replace("xor.u64", "xor.b64"), 'd', &WHOLE, |a, b, c| {
        let (sum, carry) = a.overflowing_add(b);
        c.wrapping_add(a).wrapping_add(carry.into()) ^ sum
    });
    same(&both("sub.cc", "xor", "subc").replace("xor.u64", "xor.b64"), 'd', &WHOLE, |a, b, c| {
        let (difference, borrow) = a.overflowing_sub(b);
        c.wrapping_sub(a).wrapping_sub(borrow.into()) ^ difference
    });
    same("add.cc.u32 %r4, %r1, %r2; addc.cc.u32 %r5, %r1, %r3; addc.u32 $, 0, 0", 'r', &WHOLE, |a, b, c| {
        let carry = (a & 0xffff_ffff) + (b & 0xffff_ffff) > 0xffff_ffff;
        u64::from((a & 0xffff_ffff) + (c & 0xffff_ffff) + u64::from(carry) > 0xffff_ffff)
    });
}

#[test]
fn bits() {
    unsigned!("and", "b", "%1, %2", |a, b, _| a & b);
    unsigned!("or", "b", "%1, %2", |a, b, _| a | b);
    unsigned!("xor", "b", "%1, %2", |a, b, _| a ^ b);
    unsigned!("not", "b", "%1", |a, _, _| !a);
    same("shl.b16 $, %h1, %r2", 'h', &WHOLE, |a, n, _| (a as u16).checked_shl(n as u32).unwrap_or(0).into());
    same("shl.b32 $, %r1, %r2", 'r', &WHOLE, |a, n, _| (a as u32).checked_shl(n as u32).unwrap_or(0).into());
    same("shl.b64 $, %d1, %r2", 'd', &WHOLE, |a, n, _| a.checked_shl(n as u32).unwrap_or(0));
    same("shr.u16 $, %h1, %r2", 'h', &WHOLE, |a, n, _| (a as u16).checked_shr(n as u32).unwrap_or(0).into());
    same("shr.b32 $, %r1, %r2", 'r', &WHOLE, |a, n, _| (a as u32).checked_shr(n as u32).unwrap_or(0).into());
    same("shr.u64 $, %d1, %r2", 'd', &WHOLE, |a, n, _| a.checked_shr(n as u32).unwrap_or(0));
    same("shr.s16 $, %h1, %r2", 'h', &WHOLE, |a, n, _| u64::from(((a as i16) >> (n as u32).min(15)) as u16));
    same("shr.s32 $, %r1, %r2", 'r', &WHOLE, |a, n, _| u64::from(((a as i32) >> (n as u32).min(31)) as u32));
    same("shr.s64 $, %d1, %r2", 'd', &WHOLE, |a, n, _| ((a as i64) >> (n as u32).min(63)) as u64);
    same("popc.b32 $, %r1", 'r', &WHOLE, |a, _, _| (a as u32).count_ones().into());
    same("popc.b64 $, %d1", 'r', &WHOLE, |a, _, _| a.count_ones().into());
    same("clz.b32 $, %r1", 'r', &WHOLE, |a, _, _| (a as u32).leading_zeros().into());
    same("clz.b64 $, %d1", 'r', &WHOLE, |a, _, _| a.leading_zeros().into());
    same("brev.b32 $, %r1", 'r', &WHOLE, |a, _, _| (a as u32).reverse_bits().into());
    same("brev.b64 $, %d1", 'd', &WHOLE, |a, _, _| a.reverse_bits());
    same("bfind.u64 $, %d1", 'r', &WHOLE, |a, _, _| a.checked_ilog2().unwrap_or(u32::MAX).into());
    same("bfind.shiftamt.u32 $, %r1", 'r', &WHOLE, |a, _, _| {
        (a as u32).checked_ilog2().map_or(u32::MAX, |it| 31 - it).into()
    });
    same("bfind.s32 $, %r1", 'r', &WHOLE, |a, _, _| {
        let a = a as i32;
        (if a < 0 { !a } else { a }).checked_ilog2().unwrap_or(u32::MAX).into()
    });
    let joined = |a: u64, b: u64| (b & 0xffff_ffff) << 32 | (a & 0xffff_ffff);
    same("shf.l.wrap.b32 $, %r1, %r2, %r3", 'r', &WHOLE, |a, b, n| joined(a, b) << (n & 31) >> 32);
    same("shf.r.wrap.b32 $, %r1, %r2, %r3", 'r', &WHOLE, |a, b, n| joined(a, b) >> (n & 31) & 0xffff_ffff);
    same("shf.l.clamp.b32 $, %r1, %r2, %r3", 'r', &WHOLE, |a, b, n| joined(a, b) << (n as u32).min(32) >> 32);
    same("shf.r.clamp.b32 $, %r1, %r2, %r3", 'r', &WHOLE, |a, b, n| joined(a, b) >> (n as u32).min(32) & 0xffff_ffff);
    same("lop3.b32 $, %r1, %r2, %r3, 0x96", 'r', &WHOLE, |a, b, c| (a ^ b ^ c) & 0xffff_ffff);
    same("lop3.b32 $, %r1, %r2, %r3, 0xca", 'r', &WHOLE, |a, b, c| ((a & b) | (!a & c)) & 0xffff_ffff);
    same("szext.clamp.s32 $, %r1, %r2", 'r', &WHOLE, |a, n, _| match n as u32 {
        0 => 0,
        n => u64::from(((a as i32) << (32 - n.min(32)) >> (32 - n.min(32))) as u32),
    });
    same("szext.wrap.u32 $, %r1, %r2", 'r', &WHOLE, |a, n, _| a & ((1 << (n & 31)) - 1));
}

#[test]
fn fields_of_bits() {
    assert_eq!(
        result("prmt.b32 %r0, %r1, %r2, 0x7610; cvt.u64.u32 %d0, %r0;", [0x4433_2211, 0x8877_6655, 0]),
        0x8877_2211
    );
    assert_eq!(result("prmt.b32 %r0, %r1, 0, 0x0123U; cvt.u64.u32 %d0, %r0;", [0x4433_2211, 0, 0]), 0x1122_3344);
    // The highest bit of a choice asks for the sign.
    assert_eq!(result("prmt.b32 %r0, %r1, %r2, 0xc8b3; cvt.u64.u32 %d0, %r0;", [0x8033_2211, 0xff, 0]), 0xff00_ff80);
    let field = |value: u64, at: u64, count: u64, width: u64, signed: bool| {
        let (at, count) = (at & 0xff, count & 0xff);
        let bit = |at: u64| value >> at & 1;
        let sign = if signed && count > 0 { bit((at + count - 1).min(width - 1)) } else { 0 };
        (0..width).fold(0, |all, i| all | (if i < count && at + i < width { bit(at + i) } else { sign }) << i)
    };
    same("bfe.u32 $, %r1, %r2, %r3", 'r', &WHOLE, |a, b, c| field(a, b, c, 32, false));
    same("bfe.s32 $, %r1, %r2, %r3", 'r', &WHOLE, |a, b, c| field(a, b, c, 32, true));
    same("bfe.u64 $, %d1, %r2, %r3", 'd', &WHOLE, |a, b, c| field(a, b, c, 64, false));
    same("bfe.s64 $, %d1, %r2, %r3", 'd', &WHOLE, |a, b, c| field(a, b, c, 64, true));
    assert_eq!(result("bfe.s32 %r0, 0x80, 4, 4; cvt.u64.u32 %d0, %r0;", [0; 3]), 0xffff_fff8);
    let inserted = |a: u64, b: u64, at: u64, count: u64, width: u64| {
        let (at, count) = (at & 0xff, count & 0xff);
        (0..count).filter(|i| at + i < width).fold(b, |all, i| all & !(1 << (at + i)) | (a >> i & 1) << (at + i))
    };
    same("bfi.b32 $, %r1, %r2, %r3, 9", 'r', &WHOLE, |a, b, c| inserted(a, b & 0xffff_ffff, c, 9, 32));
    same("bfi.b64 $, %d1, %d2, 5, %r3", 'd', &WHOLE, |a, b, c| inserted(a, b, 5, c, 64));
    same("bfi.b64 $, %d1, %d2, %r3, 64", 'd', &WHOLE, |a, b, c| inserted(a, b, c, 64, 64));
}

#[test]
fn floating_point_numbers() {
    let (single_numbers, double_numbers) = (singles(), doubles());
    let singles = |instruction: &str, wanted: fn(f32, f32, f32) -> f32| {
        same(instruction, 'r', &single_numbers, |a, b, c| single(wanted(f(a), f(b), f(c))));
    };
    singles("add.rn.f32 $, %r1, %r2", |a, b, _| a + b);
    singles("sub.rn.f32 $, %r1, %r2", |a, b, _| a - b);
    singles("mul.rn.f32 $, %r1, %r2", |a, b, _| a * b);
    singles("div.rn.f32 $, %r1, %r2", |a, b, _| a / b);
    singles("fma.rn.f32 $, %r1, %r2, %r3", f32::mul_add);
    singles("sqrt.rn.f32 $, %r1", |a, _, _| a.sqrt());
    singles("rcp.rn.f32 $, %r1", |a, _, _| 1.0 / a);
    let doubles = |instruction: &str, wanted: fn(f64, f64, f64) -> f64| {
        same(instruction, 'd', &double_numbers, |a, b, c| {
            let first = [a, b, c].into_iter().find(|it| d(*it).is_nan());
            let wanted = wanted(d(a), d(b), d(c));
            if wanted.is_nan() { first.unwrap_or(0xfff8 << 48) } else { wanted.to_bits() }
        });
    };
    doubles("add.rn.f64 $, %d1, %d2", |a, b, _| a + b);
    doubles("sub.rn.f64 $, %d1, %d2", |a, b, _| a - b);
    doubles("mul.rn.f64 $, %d1, %d2", |a, b, _| a * b);
    doubles("div.rn.f64 $, %d1, %d2", |a, b, _| a / b);
    doubles("fma.rn.f64 $, %d1, %d2, %d3", f64::mul_add);
    // With one operand, the others don't count.
    same("sqrt.rn.f64 $, %d1", 'd', &double_numbers, |a, _, _| match d(a).sqrt() {
        root if root.is_nan() => {
            if d(a).is_nan() {
                a
            } else {
                0xfff8 << 48
            }
        }
        root => root.to_bits(),
    });
    same("neg.f32 $, %r1", 'r', &single_numbers, |a, _, _| a ^ 0x8000_0000);
    same("abs.f64 $, %d1", 'd', &double_numbers, |a, _, _| a & !(1 << 63));
    same("copysign.f32 $, %r1, %r2", 'r', &single_numbers, |a, b, _| f(b).copysign(f(a)).to_bits().into());
    same("copysign.f64 $, %d1, %d2", 'd', &double_numbers, |a, b, _| d(b).copysign(d(a)).to_bits());
    let extreme = |a: f32, b: f32, less: fn(f32, f32) -> bool| match (a.is_nan(), b.is_nan()) {
        (true, true) => 0x7fff_ffff,
        (true, false) => b.to_bits().into(),
        (false, true) => a.to_bits().into(),
        _ if less(a, b) => a.to_bits().into(),
        _ => b.to_bits().into(),
    };
    same("min.f32 $, %r1, %r2", 'r', &single_numbers, |a, b, _| extreme(f(a), f(b), |a, b| a.total_cmp(&b).is_lt()));
    same("max.f32 $, %r1, %r2", 'r', &single_numbers, |a, b, _| extreme(f(a), f(b), |a, b| a.total_cmp(&b).is_gt()));
    assert_eq!(result("min.f64 %d0, %d1, %d2;", [0, 1 << 63, 0]), 1 << 63);
    assert_eq!(result("max.f64 %d0, %d1, %d2;", [1 << 63, 0, 0]), 0);
    assert_eq!(result("max.f64 %d0, %d1, %d2;", [0x7ff8 << 48, 0x7ff9 << 48, 0]), 0x7fff_ffff_ffff_ffff);
    let tests: [OfOne; 6] = [
        ("finite", |x| x.is_finite()),
        ("infinite", |x| x.is_infinite()),
        ("number", |x| !x.is_nan()),
        ("notanumber", |x| x.is_nan()),
        ("normal", |x| x.is_normal()),
        ("subnormal", |x| x.is_subnormal()),
    ];
    for (name, wanted) in tests {
        same(&format!("testp.{name}.f32 $, %r1"), 'p', &single_numbers, |a, _, _| wanted(f(a)).into());
    }
}

#[test]
fn comparisons() {
    macro_rules! compared {
        ($($name:literal $operator:tt),*) => { $(
            same(concat!("setp.", $name, ".s32 $, %r1, %r2"), 'p', &WHOLE, |a, b, _| ((a as i32) $operator b as i32).into());
            same(concat!("setp.", $name, ".u64 $, %d1, %d2"), 'p', &WHOLE, |a, b, _| (a $operator b).into());
            same(concat!("setp.", $name, ".s16 $, %h1, %h2"), 'p', &WHOLE, |a, b, _| ((a as i16) $operator b as i16).into());
        )* };
    }
    compared!("eq" ==, "ne" !=, "lt" <, "le" <=, "gt" >, "ge" >=);
    same("setp.eq.b16 $, %h1, %h2", 'p', &WHOLE, |a, b, _| (a as u16 == b as u16).into());
    same("setp.lo.u32 $, %r1, %r2", 'p', &WHOLE, |a, b, _| ((a as u32) < b as u32).into());
    same("setp.ls.u32 $, %r1, %r2", 'p', &WHOLE, |a, b, _| (a as u32 <= b as u32).into());
    same("setp.hi.u32 $, %r1, %r2", 'p', &WHOLE, |a, b, _| (a as u32 > b as u32).into());
    same("setp.hs.u32 $, %r1, %r2", 'p', &WHOLE, |a, b, _| (a as u32 >= b as u32).into());
    let wanted: [OfTwo; 14] = [
        ("eq", |a, b| a == b),
        ("ne", |a, b| a != b && !a.is_nan() && !b.is_nan()),
        ("lt", |a, b| a < b),
        ("le", |a, b| a <= b),
        ("gt", |a, b| a > b),
        ("ge", |a, b| a >= b),
        ("equ", |a, b| a == b || a.is_nan() || b.is_nan()),
        ("neu", |a, b| a != b),
        ("ltu", |a, b| a < b || a.is_nan() || b.is_nan()),
        ("leu", |a, b| a <= b || a.is_nan() || b.is_nan()),
        ("gtu", |a, b| a > b || a.is_nan() || b.is_nan()),
        ("geu", |a, b| a >= b || a.is_nan() || b.is_nan()),
        ("num", |a, b| !a.is_nan() && !b.is_nan()),
        ("nan", |a, b| a.is_nan() || b.is_nan()),
    ];
    for (name, wanted) in wanted {
        same(&format!("setp.{name}.f64 $, %d1, %d2"), 'p', &doubles(), |a, b, _| wanted(d(a), d(b)).into());
        same(&format!("setp.{name}.f32 $, %r1, %r2"), 'p', &singles(), |a, b, _| {
            wanted(f(a).into(), f(b).into()).into()
        });
    }
    same("setp.gt.u32 %p1, %r3, 31; setp.lt.and.s32 $, %r1, %r2, !%p1", 'p', &WHOLE, |a, b, c| {
        ((a as i32) < b as i32 && c as u32 <= 31).into()
    });
    same("setp.gt.u32 %p1, %r3, 31; setp.lt.or.s32 $, %r1, %r2, %p1", 'p', &WHOLE, |a, b, c| {
        ((a as i32) < b as i32 || c as u32 > 31).into()
    });
    same("set.lt.u32.s32 $, %r1, %r2", 'r', &WHOLE, |a, b, _| if (a as i32) < b as i32 { 0xffff_ffff } else { 0 });
    same("set.geu.f32.f64 $, %d1, %d2", 'r', &doubles(), |a, b, _| if d(a) < d(b) { 0 } else { 1f32.to_bits().into() });
    same(
        "setp.lt.u32 %p1, %r3, 9; selp.b64 $, %d1, %d2, %p1",
        'd',
        &WHOLE,
        |a, b, c| if (c as u32) < 9 { a } else { b },
    );
    let predicates = "setp.lt.u32 %p1, %r1, 9; setp.lt.u32 %p2, %r2, 9; not.pred %p3, %p2; xor.pred %p4, %p1, %p3;
        mov.pred %p5, -1; and.pred %p0, %p4, %p5";
    same(predicates, 'p', &WHOLE, |a, b, _| (((a as u32) < 9) ^ (b as u32 >= 9)).into());
}

#[test]
fn conversions() {
    same("cvt.u32.u8 $, %h1", 'r', &WHOLE, |a, _, _| u64::from(a as u8));
    same("cvt.s32.s8 $, %r1", 'r', &WHOLE, |a, _, _| u64::from(a as i8 as i32 as u32));
    same("cvt.s64.s16 $, %h1", 'd', &WHOLE, |a, _, _| i64::from(a as i16) as u64);
    same("cvt.u64.s32 $, %r1", 'd', &WHOLE, |a, _, _| i64::from(a as i32) as u64);
    same("cvt.s8.s64 $, %d1", 'h', &WHOLE, |a, _, _| u64::from(a as i8 as i16 as u16));
    same("cvt.u16.u64 $, %d1", 'h', &WHOLE, |a, _, _| u64::from(a as u16));
    same("cvt.sat.u8.s32 $, %r1", 'r', &WHOLE, |a, _, _| (a as i32).clamp(0, 255) as u64);
    same("cvt.sat.s16.u64 $, %d1", 'h', &WHOLE, |a, _, _| a.min(0x7fff));
    same("cvt.rn.f32.u64 $, %d1", 'r', &WHOLE, |a, _, _| (a as f32).to_bits().into());
    same("cvt.rn.f32.s64 $, %d1", 'r', &WHOLE, |a, _, _| (a as i64 as f32).to_bits().into());
    same("cvt.rn.f32.s32 $, %r1", 'r', &WHOLE, |a, _, _| (a as i32 as f32).to_bits().into());
    same("cvt.rn.f64.u64 $, %d1", 'd', &WHOLE, |a, _, _| (a as f64).to_bits());
    same("cvt.rn.f64.s16 $, %h1", 'd', &WHOLE, |a, _, _| (a as i16 as f64).to_bits());
    // Rust's `as` does the same, but for what isn't a number.
    macro_rules! whole {
        ($($to:ident $register:literal),*) => { $(
            let name = stringify!($to).replace('i', "s");
            let nan = |wide: bool| if wide { 1 << ($to::BITS - 1) } else { 0 };
            same(&format!("cvt.rzi.{name}.f32 $, %r1"), $register, &singles(), |a, _, _| match f(a) {
                a if a.is_nan() => nan($to::BITS == 64),
                a => a as $to as u64 & (u64::MAX >> (64 - $to::BITS)),
            });
            same(&format!("cvt.rmi.{name}.f64 $, %d1"), $register, &doubles(), |a, _, _| match d(a) {
                a if a.is_nan() => nan(true),
                a => a.floor() as $to as u64 & (u64::MAX >> (64 - $to::BITS)),
            });
            same(&format!("cvt.rni.{name}.f64 $, %d1"), $register, &doubles(), |a, _, _| match d(a) {
                a if a.is_nan() => nan(true),
                a => a.round_ties_even() as $to as u64 & (u64::MAX >> (64 - $to::BITS)),
            });
        )* };
    }
    whole!(u16 'h', i16 'h', u32 'r', i32 'r', u64 'd', i64 'd');
    same("cvt.f64.f32 $, %r1", 'd', &singles(), |a, _, _| f64::from(f(a)).to_bits());
    same("cvt.rn.f32.f64 $, %d1", 'r', &doubles(), |a, _, _| single(d(a) as f32));
    same("cvt.rni.f32.f32 $, %r1", 'r', &singles(), |a, _, _| single(f(a).round_ties_even()));
    same("cvt.rmi.f32.f32 $, %r1", 'r', &singles(), |a, _, _| single(f(a).floor()));
    same("cvt.rpi.f64.f64 $, %d1", 'd', &doubles(), |a, _, _| d(a).ceil().to_bits());
    same("cvt.rzi.f64.f64 $, %d1", 'd', &doubles(), |a, _, _| d(a).trunc().to_bits());
    same("cvt.sat.f32.f32 $, %r1", 'r', &singles(), |a, _, _| match f(a) {
        a if a > 0.0 => a.min(1.0).to_bits().into(),
        _ => 0,
    });
}

#[test]
fn moves_and_immediates() {
    same("mov.b64 {%r4, %r5}, %d1; mov.b64 $, {%r5, %r4}", 'd', &WHOLE, |a, _, _| a.rotate_left(32));
    same("mov.b32 {%h4, %h5}, %r1; mov.b64 $, {%h5, %h4, %h4, %h5}", 'd', &WHOLE, |a, _, _| {
        let (low, high) = (a & 0xffff, a >> 16 & 0xffff);
        high | low << 16 | low << 32 | high << 48
    });
    same("{ .reg .b32 tmp; mov.b64 {tmp, $}, %d1; }", 'r', &WHOLE, |a, _, _| a >> 32);
    same("mov.b64 {_, $}, %d1", 'r', &WHOLE, |a, _, _| a >> 32);
    assert_eq!(result("mov.u64 %d0, 0x10;", [0; 3]), 16);
    assert_eq!(result("mov.u64 %d0, 010U;", [0; 3]), 8);
    assert_eq!(result("mov.u64 %d0, 0b101;", [0; 3]), 5);
    assert_eq!(result("mov.b32 %r0, -1; cvt.u64.u32 %d0, %r0;", [0; 3]), 0xffff_ffff);
    assert_eq!(result("mov.b16 %h0, -2; cvt.u64.u16 %d0, %h0;", [0; 3]), 0xfffe);
    assert_eq!(result("mov.b32 %r0, 0f3F800000; cvt.u64.u32 %d0, %r0;", [0; 3]), 0x3f80_0000);
    assert_eq!(result("mov.f64 %d0, 0d4000000000000000;", [0; 3]), 2f64.to_bits());
    assert_eq!(result("add.rn.f64 %d0, 1.5, -0.25;", [0; 3]), 1.25f64.to_bits());
    assert_eq!(result("add.s64 %d0, %d1, -9223372036854775808;", [1, 0, 0]), 0x8000_0000_0000_0001);
}

const DATA: &str = "
    .visible .global .align 8 .u64 number = 18446744073709551615;
    .global .align 1 .b8 bytes[8] = {1, 255, 0x80};
    .global .align 4 .f32 floats[2] = {0f3F800000, 2.5};
    .const .align 8 .u64 both[3] = {number, generic(bytes)+1, 5};
    .global .align 8 .b8 packed[10] = {7, 0xFF(bytes), 0xFF00(bytes), 0xFF0000(generic(bytes)), 0xFF000000(bytes),
        0xFF00000000(bytes), 0xFF0000000000(bytes), 0xFF000000000000(bytes), 0xFF00000000000000(bytes), -1};
    .global .align 8 .u64 functions[1] = {twice};
    .global .align 16 .b8 empty[64];
    .func (.param .b64 r) twice(.param .b64 x) {
        .reg .b64 %d<3>; ld.param.b64 %d1, [x]; add.s64 %d2, %d1, %d1; st.param.b64 [r], %d2; ret;
    }";

fn with_data(body: &str) -> Result<u64, Fault> {
    tried(DATA, body, [3, 4, 5])
}

#[test]
fn memory() {
    assert_eq!(with_data("ld.global.u64 %d0, [number];"), Ok(u64::MAX));
    assert_eq!(with_data("ld.global.s8 %r4, [bytes+1]; cvt.s64.s32 %d0, %r4;"), Ok(u64::MAX));
    assert_eq!(with_data("ld.global.nc.b8 %h4, [bytes+1]; cvt.u64.u16 %d0, %h4;"), Ok(255));
    assert_eq!(with_data("ld.global.s8 %h4, [bytes+2]; cvt.u64.u16 %d0, %h4;"), Ok(0xff80));
    assert_eq!(with_data("ld.global.b16 %r4, [bytes]; cvt.u64.u32 %d0, %r4;"), Ok(0xff01));
    assert_eq!(with_data("ld.u64 %d0, [bytes];"), Ok(0x80_ff01));
    assert_eq!(with_data("ld.global.v2.b32 {%r4, %r5}, [floats]; mov.b64 %d0, {%r4, %r5};"), Ok(0x4020_0000_3f80_0000));
    assert_eq!(
        with_data("mov.u64 %d4, both; ld.const.u64 %d5, [%d4+8]; ld.global.u8 %r4, [%d5]; cvt.u64.u32 %d0, %r4;"),
        Ok(255)
    );
    assert_eq!(with_data("ld.const.u64 %d4, [both]; cvta.global.u64 %d5, %d4; ld.u64 %d0, [%d5];"), Ok(u64::MAX));
    let address = "ld.global.u8 %d5, [packed+1]; mov.u64 %d4, packed; mov.b32 %r4, 2;
        L: cvt.u64.u32 %d6, %r4; add.s64 %d7, %d4, %d6; ld.global.u8 %d8, [%d7]; sub.s32 %r5, %r4, 1; shl.b32 %r5, %r5, 3;
        shl.b64 %d8, %d8, %r5; or.b64 %d5, %d5, %d8; add.s32 %r4, %r4, 1; setp.lt.u32 %p1, %r4, 9; @%p1 bra L;
        ld.global.u8 %d0, [%d5+1];";
    assert_eq!(with_data(address), Ok(255));
    assert_eq!(
        with_data(
            "mov.u64 %d4, empty; add.s64 %d4, %d4, 16; st.global.v4.b16 [%d4+-8], {1, %r1, 3, %h2};
        ld.global.u64 %d0, [empty+8];"
        ),
        Ok(0x0004_0003_0003_0001)
    );
    assert_eq!(with_data("st.global.b8 [empty], 511; ld.global.u64 %d0, [empty];"), Ok(255));
    assert_eq!(
        with_data(
            "atom.global.min.u64 %d0, [number], %d1; ld.global.u64 %d4, [number]; shl.b64 %d4, %d4, 1;
        add.s64 %d0, %d0, %d4;"
        ),
        Ok(5)
    );
    assert_eq!(with_data("atom.relaxed.gpu.global.add.u64 %d4, [number], %d1; ld.global.u64 %d0, [number];"), Ok(2));
    assert_eq!(
        with_data("atom.cas.b64 %d4, [number], -1, 9; atom.cas.b64 %d4, [number], 8, 10; ld.u64 %d0, [number];"),
        Ok(9)
    );
    assert_eq!(with_data("atom.exch.b32 %r4, [number], 9; ld.u64 %d0, [number];"), Ok(0xffff_ffff_0000_0009));
    assert_eq!(
        with_data(
            "atom.max.s32 %r4, [number], 9; atom.inc.u32 %r4, [number+4], 7; red.or.b32 [number], 16;
        membar.gl; fence.acq_rel.sys; ld.volatile.global.u64 %d0, [number];"
        ),
        Ok(25)
    );
}

#[test]
fn variables_and_calls() {
    assert_eq!(
        with_data(
            "{ .param .b64 p; .param .b64 q; st.param.b64 [p], %d1; call.uni (q), twice, (p); ld.param.b64 %d0, [q]; }"
        ),
        Ok(6)
    );
    assert_eq!(
        with_data(
            "ld.global.u64 %d4, [functions]; { .param .b64 p; .param .b64 q; st.param.b64 [p], 21;
        proto : .callprototype (.param .b64 _) _ (.param .b64 _); call (q), %d4, (p), proto; ld.param.b64 %d0, [q]; }"
        ),
        Ok(42)
    );
    let locals = "
        .func (.param .align 8 .b8 r[16]) pair(.param .align 8 .b8 x[16], .param .b32 n) {
            .local .align 16 .b8 depot[32]; .reg .b64 %SP; .reg .b64 %SPL; .reg .b64 %d<6>; .reg .b32 %r<3>; .reg .pred %p;
            mov.b64 %SPL, depot; cvta.local.u64 %SP, %SPL;
            ld.param.v2.b64 {%d1, %d2}, [x]; ld.param.b32 %r1, [n];
            st.local.b64 [%SPL+8], %d1; st.b64 [%SP+16], %d2;
            setp.eq.s32 %p, %r1, 0; @%p bra DONE;
            { .param .align 8 .b8 a[16]; .param .b32 b; .param .align 8 .b8 c[16];
            st.param.v2.b64 [a], {%d2, %d1}; sub.s32 %r2, %r1, 1; st.param.b32 [b], %r2;
            call.uni (c), pair, (a, b); ld.param.b64 %d3, [c]; ld.param.b64 %d4, [c+8]; }
            ld.b64 %d1, [%SP+8]; ld.local.b64 %d2, [%SPL+16];
            add.s64 %d1, %d1, %d3; add.s64 %d2, %d2, %d4;
            DONE: st.param.b64 [r], %d1; st.param.b64 [r+8], %d2; ret;
        }";
    let call = "{ .param .align 8 .b8 a[16]; .param .b32 b; .param .align 8 .b8 c[16];
        st.param.v2.b64 [a], {%d1, %d2}; st.param.b32 [b], %r3; call.uni (c), pair, (a, b);
        ld.param.b64 %d4, [c]; ld.param.b64 %d5, [c+8]; } shl.b64 %d5, %d5, 32; or.b64 %d0, %d4, %d5;";
    assert_eq!(tried(locals, call, [5, 7, 3]), Ok(24 << 32 | 24));
    assert_eq!(tried(locals, call, [5, 7, 2]), Ok(19 << 32 | 17));
    assert_eq!(tried(locals, call, [5, 7, 1 << 20]), Err(Fault::TooDeep));
}

#[test]
fn branches() {
    let chosen =
        "list: .branchtargets A, B, C; brx.idx %r1, list; A: mov.u64 %d0, 10; bra.uni E; B: mov.u64 %d0, 20; bra E;
        C: mov.u64 %d0, 30; E: ";
    assert_eq!([0, 1, 2].map(|index| result(chosen, [index, 0, 0])), [10, 20, 30]);
    assert_eq!(tried("", chosen, [3, 0, 0]), Err(Fault::Trap));
    let guarded =
        "mov.u64 %d0, 1; setp.eq.u64 %p1, %d1, 5; @%p1 mov.u64 %d0, 2; @!%p1 bra L; add.s64 %d0, %d0, 10; L: ";
    assert_eq!([5, 6].map(|a| result(guarded, [a, 0, 0])), [12, 1]);
    assert_eq!(tried("", "trap;", [0; 3]), Err(Fault::Trap));
    assert_eq!(
        tried(
            ".func f() { exit; }",
            "mov.u64 %d0, 1; st.global.u64 [%out], %d0; call f; st.global.u64 [%out], 2;",
            [0; 3]
        ),
        Ok(1)
    );
}

#[test]
fn each_thread_has_its_number() {
    let body = "mov.u32 %r4, %ctaid.x; mov.u32 %r5, %ntid.x; mov.u32 %r6, %tid.x; mad.lo.s32 %r7, %r4, %r5, %r6;
        mul.wide.u32 %d4, %r7, 8; add.s64 %out, %out, %d4; mov.u32 %r8, %nctaid.x; mov.b64 %d0, {%r7, %r8};";
    let mut memory = Memory::new(1 << 20);
    let device = Device::load(Module::parse(&entry("", body)).unwrap(), &mut memory).unwrap();
    let out = memory.alloc(600 * 8, 8).unwrap();
    device.launch(&mut memory, "t", &[out, 0, 0, 0], 600, &|| false).unwrap();
    let wanted: Vec<u8> = (0..600u64).flat_map(|i| (i | 3 << 32).to_le_bytes()).collect();
    assert!(memory.read(out, 600 * 8).unwrap() == wanted);
}

#[test]
fn a_function_is_called_alone() {
    let ptx = ".visible .func px_layout(.param .b64 out) {
        .reg .b64 %d<2>; ld.param.b64 %d1, [out]; st.v2.b64 [%d1], {40, 8}; st.b64 [%d1+16], 4; ret; }
        .func endless() { L: bra L; } .extern .func elsewhere();";
    let mut memory = Memory::new(1 << 20);
    let module = Module::parse(ptx).unwrap();
    assert_eq!(["px_layout", "elsewhere", "none"].map(|name| module.has(name)), [true, false, false]);
    let device = Device::load(module, &mut memory).unwrap();
    let out = memory.alloc(24, 16).unwrap();
    device.call(&mut memory, "px_layout", &[out]).unwrap();
    assert_eq!(memory.read(out + 8, 16).unwrap(), [8, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(device.call(&mut memory, "elsewhere", &[]), Err(Fault::NoEntry("elsewhere".to_owned())));
    assert!(matches!(device.call(&mut memory, "px_layout", &[]), Err(Fault::BadCall { .. })));
    assert!(matches!(device.launch(&mut memory, "px_layout", &[out], 1, &|| false), Err(Fault::NoEntry(_))));
}

#[test]
fn wrong_accesses_are_found() {
    let fault = |body: &str| with_data(body).unwrap_err();
    let is_bad = |body: &str| assert!(matches!(fault(body), Fault::BadAddress { .. }), "{body}");
    is_bad("ld.global.u64 %d0, [bytes+8];");
    is_bad("ld.global.u64 %d0, [number+-8];");
    is_bad("mov.u64 %d4, 0; ld.u64 %d0, [%d4];");
    is_bad("ld.u64 %d0, [%out+-9223372036854775808];");
    is_bad("mov.u64 %d4, twice; ld.u64 %d0, [%d4];");
    is_bad("{ .local .align 8 .b8 depot[8]; mov.b64 %d4, depot; ld.global.u64 %d0, [%d4]; }");
    is_bad("{ .local .align 8 .b8 depot[8]; mov.b64 %d4, depot; ld.u64 %d0, [%d4+2048]; }");
    is_bad("ld.local.u64 %d0, [number];");
    is_bad("{ .param .b64 q; p : .callprototype _ (); call %d1, (), p; }");
    assert!(matches!(fault("ld.global.u32 %r0, [bytes+2];"), Fault::Misaligned { bytes: 4, .. }));
    assert!(matches!(fault("ld.global.v2.b32 {%r4, %r5}, [bytes+4];"), Fault::Misaligned { bytes: 8, .. }));
    assert!(matches!(fault("mov.u64 %d4, twice; p : .callprototype _ (); call %d4, (), p;"), Fault::BadCall { .. }));
}

#[test]
fn what_isnt_known_is_named() {
    let unknown = [
        "add.f32 %r0, %r1, %r2",
        "add.rz.f32 %r0, %r1, %r2",
        "add.rn.ftz.f32 %r0, %r1, %r2",
        "div.approx.f32 %r0, %r1, %r2",
        "sin.approx.f32 %r0, %r1",
        "cvt.f32.f64 %r0, %d1",
        "cvt.rz.f32.f64 %r0, %d1",
        "cvt.u32.f32 %r0, %r1",
        "min.NaN.f32 %r0, %r1, %r2",
        "shfl.sync.idx.b32 %r0, %r1, 0, 31, -1",
        "add.b32 %r0, %r1, %r2",
        "setp.lt.b32 %p0, %r1, %r2",
        "mul.s32 %r0, %r1, %r2",
        "mad.lo.cc.s32 %r0, %r1, %r2, %r3",
        "fma.rn.f16 %h0, %h1, %h2, %h3",
        "prmt.b32.f4e %r0, %r1, %r2, 0",
        "atom.add.f32 %r0, [%out], %r1",
        "mul.wide.u64 %d0, %d1, %d2",
        "vote.sync.any.pred %p0, %p1, -1",
    ];
    for instruction in unknown {
        let name = instruction.split(' ').next().unwrap().to_owned();
        assert_eq!(tried("", &format!("{instruction};"), [0; 3]), Err(Fault::Unsupported { instruction: name }));
    }
    let wrong = [
        "add.s32 %d0, %d1, %d2",
        "add.s64 %d0, %d1, %r2",
        "mov.b32 %r0, %none",
        "bra NOWHERE",
        "ld.u64 %r0, [%out]",
        "mov.u64 %d0, nowhere",
        "setp.eq.s32 %r0, %r1, %r2",
        "ld.u64 %d0, %out",
        "call nothing",
        "mov.b64 %d0, 0f3F800000",
        "cvt.u64.u32 %r0, %r1",
        "st.b64 [%r1], %d1",
        "@%r1 bra L",
        "@%p1",
        "mov.b64 {%r1, %r2, %d0",
        "brx.idx %r1, %r2",
    ];
    for instruction in wrong {
        let fault = tried("", &format!("{instruction};"), [0; 3]);
        assert!(matches!(fault, Err(Fault::Syntax { .. })), "{instruction}: {fault:?}");
    }
    assert_eq!(tried("", "bar.sync 0;", [0; 3]), Err(Fault::Barrier));
    // Without a rounding, a device may make one step of two, so only CUDA C++ has that.
    for instruction in ["add.f32", "sub.f64", "mul.f32"] {
        let registers = if instruction.ends_with("32") { "%r0, %r1, %r2" } else { "%d0, %d1, %d2" };
        let ptx = entry("", &format!("{instruction} {registers};"));
        assert_eq!(Module::parse(&ptx).unwrap_err(), Fault::Unsupported { instruction: instruction.to_owned() });
        assert!(Module::parse_cuda(&ptx).is_ok(), "{instruction}");
    }
    let shared = tried(".shared .align 4 .b8 all[64];", "bar.sync 0;", [0; 3]);
    assert_eq!(shared, Err(Fault::Unsupported { instruction: "bar.sync".to_owned() }));
    let line = Module::parse(".version 7.0\n.func f() {\n  ret\n}");
    assert_eq!(line.unwrap_err(), Fault::Syntax { line: 4, text: "a name is missing".to_owned() });
}

#[test]
fn memory_is_limited_and_no_address_comes_twice() {
    let mut memory = Memory::new(1000);
    let first = memory.alloc(600, 256).unwrap();
    assert_eq!(memory.alloc(401, 1), Err(Fault::OutOfMemory { bytes: 401, free: 400 }));
    assert_eq!(first % 256, 0);
    memory.write(first + 596, &[1, 2, 3, 4]).unwrap();
    assert_eq!(memory.read(first + 597, 3), Ok(vec![2, 3, 4]));
    assert!(memory.write(first + 597, &[0; 4]).is_err());
    assert!(memory.free(first + 1).is_err());
    memory.free(first).unwrap();
    assert!(memory.free(first).is_err());
    assert!(memory.read(first, 1).is_err());
    let second = memory.alloc(1000, 256).unwrap();
    assert_ne!(first, second);
    assert!(Memory::new(u64::MAX).alloc(u64::MAX, 1).is_err());
    // A module that doesn't fit leaves nothing behind, nor does one that is taken away.
    let mut memory = Memory::new(100);
    let module = |bytes| Module::parse(&format!(".global .b8 a[60]; .global .b8 b[{bytes}];")).unwrap();
    assert_eq!(Device::load(module(41), &mut memory).unwrap_err(), Fault::OutOfMemory { bytes: 41, free: 40 });
    let device = Device::load(module(40), &mut memory).unwrap();
    assert_eq!((memory.available(), device.address_of("b").is_some(), device.address_of("c")), (0, true, None));
    device.unload(&mut memory).unwrap();
    assert_eq!(memory.available(), 100);
}
