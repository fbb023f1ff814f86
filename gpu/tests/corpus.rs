//! Closures of all forms: operators, casts, float methods, control flow, structs, slices, iterators, panics.

// Forms that clippy would write otherwise are what is tested.
#![allow(clippy::all)]

#[macro_use]
mod common;

use chorus_gpu::crates::Crates;
use common::{Case, can_compile, check, constant, ptxas};

/// Bits decide: -0.0 isn't 0.0. All NaN are one, since their bits aren't promised.
trait Bits: Copy + std::fmt::Debug {
    fn same(&self, other: &Self) -> bool;
}

macro_rules! bits {
    ($($type:ty)*) => {$(
        impl Bits for $type {
            fn same(&self, other: &Self) -> bool {
                self == other
            }
        }
    )*};
}

bits!(bool char u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

impl Bits for f32 {
    fn same(&self, other: &f32) -> bool {
        self.to_bits() == other.to_bits() || self.is_nan() && other.is_nan()
    }
}

impl Bits for f64 {
    fn same(&self, other: &f64) -> bool {
        self.to_bits() == other.to_bits() || self.is_nan() && other.is_nan()
    }
}

impl<A: Bits, B: Bits> Bits for (A, B) {
    fn same(&self, other: &(A, B)) -> bool {
        self.0.same(&other.0) && self.1.same(&other.1)
    }
}

impl<T: Bits, const N: usize> Bits for [T; N] {
    fn same(&self, other: &[T; N]) -> bool {
        self.iter().zip(other).all(|(a, b)| a.same(b))
    }
}

impl<T: Bits> Bits for Option<T> {
    fn same(&self, other: &Option<T>) -> bool {
        match (self, other) {
            (Some(a), Some(b)) => a.same(b),
            (a, b) => a.is_none() && b.is_none(),
        }
    }
}

/// Each closure is a test of its own group, so that a failure names it.
macro_rules! closures {
    ($test:ident $item:ty: $items:expr; $($function:expr;)*) => {
        mod $test {
            pub const ALL: (&str, &[&str]) = (stringify!($item), &[$(stringify!($function)),*]);
        }

        #[test]
        fn $test() {
            if !can_compile() {
                return;
            }
            let items: Vec<$item> = $items.into_iter().collect();
            $(
                let case = Case { definitions: &[], function: stringify!($function), item: stringify!($item), constants: vec![], crates: Crates::default() };
                check(&case, &items, typed::<$item, _>($function), |a, b| a.same(b));
            )*
        }
    };
}

/// So that a closure's parameter needs no type.
fn typed<T, R: Bits>(function: impl Fn(T) -> R) -> impl Fn(T) -> R {
    function
}

const F32: [f32; 24] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.5,
    -1.5,
    2.5,
    -2.5,
    3.7,
    -3.7,
    1e10,
    -1e10,
    1e-30,
    1e-42,
    16777216.0,
    0.1,
    1e38,
    -1e38,
    f32::MAX,
    f32::MIN_POSITIVE,
    f32::INFINITY,
    f32::NEG_INFINITY,
];
const F64: [f64; 22] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    -2.5,
    0.1,
    3.3,
    1e300,
    -1e300,
    1e-310,
    9007199254740993.0,
    4294967296.5,
    -7.9,
    255.5,
    f64::MAX,
    f64::MIN_POSITIVE,
    f64::INFINITY,
    f64::NEG_INFINITY,
];
const I32: [i32; 16] =
    [0, 1, -1, 2, -2, 7, -7, 31, 32, 100, -100, 65536, i32::MAX, i32::MIN, i32::MAX - 1, i32::MIN + 1];
const U64: [u64; 12] = [0, 1, 2, 3, 7, 63, 64, 1000, 1 << 32, (1 << 40) + 5, u64::MAX - 1, u64::MAX];
const U8: [u8; 8] = [0, 1, 2, 7, 100, 127, 200, 255];

closures! { floats_of_32_bits f32: F32;
    |x: f32| x * x + 1.0;
    |x: f32| x / 3.0 - x * 0.1;
    |x: f32| (x * x + 1.0).sqrt();
    |x: f32| x.mul_add(x, -1.0);
    |x: f32| x.floor();
    |x: f32| x.ceil();
    |x: f32| x.trunc();
    |x: f32| x.round();
    |x: f32| x.round_ties_even();
    |x: f32| x.fract();
    |x: f32| x.abs() - x.signum();
    |x: f32| x.copysign(-2.0);
    |x: f32| x.clamp(-1.0, 1.0);
    |x: f32| x.recip();
    |x: f32| x % 0.7;
    |x: f32| -0.0 % x;
    |x: f32| 1.0 - (-0.0 % x);
    |x: f32| -x;
    |x: f32| x.to_bits();
    |x: f32| f32::from_bits(x.to_bits() ^ 0x8000_0000);
    |x: f32| (x > 0.5, x <= 1.0);
    |x: f32| x.is_nan() || x.is_infinite();
    |x: f32| x.total_cmp(&1.0) as i8;
    |x: f32| x.partial_cmp(&0.5).map(|order| order as i8);
    |x: f32| if x < 0.0 { 0.0 } else { x };
    |x: f32| x.max(0.25) + x.min(7.5);
}

closures! { floats_of_64_bits f64: F64;
    |x: f64| x * x - x / 7.0;
    |x: f64| x.sqrt();
    |x: f64| x.mul_add(0.3, x);
    |x: f64| (x.floor(), x.ceil());
    |x: f64| (x.round(), x.round_ties_even());
    |x: f64| x.trunc() + x.fract();
    |x: f64| x as f32;
    |x: f64| x as f32 as f64;
    |x: f64| x.to_degrees();
    |x: f64| (x * x + 9.0).sqrt();
    |x: f64| x % 3.0;
    |x: f64| -(-0.0 % x);
    |x: f64| (1..6).map(|n| x / n as f64).sum::<f64>();
    |x: f64| [x, x * 2.0, x * x];
    |x: f64| { let mut y = x; for _ in 0..10 { y = y * 0.5 + 1.0; } y };
}

closures! { casts_of_floats f64: F64;
    |x: f64| x as i8;
    |x: f64| x as u8;
    |x: f64| x as i16;
    |x: f64| x as u16;
    |x: f64| x as i32;
    |x: f64| x as u32;
    |x: f64| x as i64;
    |x: f64| x as u64;
    |x: f64| (x as f32) as i64;
    |x: f64| (x as f32) as u32;
    |x: f64| (f64::NAN * x) as i32;
}

closures! { integers_of_32_bits i32: I32;
    |x: i32| x.wrapping_mul(31).wrapping_add(7);
    |x: i32| x.wrapping_neg() ^ x;
    |x: i32| x.checked_mul(3);
    |x: i32| x.checked_add(1000).is_none();
    |x: i32| x.saturating_add(i32::MAX / 2);
    |x: i32| x.saturating_sub(i32::MAX / 2);
    |x: i32| x.overflowing_mul(x);
    |x: i32| (x / 7, x % 7);
    |x: i32| (x.div_euclid(-3), x.rem_euclid(5));
    |x: i32| x.rotate_left(5);
    |x: i32| x.count_ones() + x.leading_zeros() * 100 + x.trailing_zeros() * 10_000;
    |x: i32| (x.swap_bytes(), x.reverse_bits());
    |x: i32| (x >> 3, (x as u32) >> 3);
    |x: i32| x.wrapping_shl(x as u32);
    |x: i32| x.unsigned_abs();
    |x: i32| x.signum();
    |x: i32| x as i8 as i64;
    |x: i32| x as u16 as u64;
    |x: i32| x as f32;
    |x: i32| x as f64 * 0.5;
    |x: i32| x as i64 * x as i64;
    |x: i32| x as i128 * i64::MAX as i128;
    |x: i32| x.pow(2_u32.wrapping_mul((x % 2 == 0) as u32));
    |x: i32| x.is_positive() & (x % 3 != 0);
    |x: i32| char::from_u32((x & 0xffff) as u32);
    |x: i32| !x;
    |x: i32| x.max(10).min(1000);
    |x: i32| x.cmp(&5) as i8;
    |x: i32| x.abs_diff(100);
    |x: i32| x.midpoint(9);
}

closures! { integers_of_64_bits u64: U64;
    |x: u64| x.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_right(29);
    |x: u64| (x as u128 * x as u128 >> 64) as u64;
    |x: u64| x.isqrt();
    |x: u64| x.checked_ilog2();
    |x: u64| x.checked_next_power_of_two();
    |x: u64| x / (x | 1);
    |x: u64| x % 1_000_003;
    |x: u64| x as f32;
    |x: u64| x as f64;
    |x: u64| x.to_le_bytes();
    |x: u64| u64::from_be_bytes(x.to_ne_bytes());
    |x: u64| x.count_zeros();
    |x: u64| (x as i64 >> 5, x >> 5);
    |x: u64| x.wrapping_pow(5);
    |x: u64| { let (mut n, mut steps) = (x % 1000 + 1, 0); while n != 1 { n = if n % 2 == 0 { n / 2 } else { 3 * n + 1 }; steps += 1; } steps };
    |x: u64| { let mut h = 0xcbf2_9ce4_8422_2325u64; for b in x.to_le_bytes() { h = (h ^ b as u64).wrapping_mul(0x100_0000_01b3); } h };
}

closures! { small_integers u8: U8;
    |x: u8| x.wrapping_add(100);
    |x: u8| x.saturating_mul(3);
    |x: u8| x.checked_sub(5);
    |x: u8| x as i8;
    |x: u8| (x as char, x.is_ascii_alphabetic());
    |x: u8| x.leading_zeros();
    |x: u8| x.rotate_left(3);
    |x: u8| i16::from(x) - 300;
    |x: u8| (x as u16).wrapping_mul(513);
    |x: u8| x.reverse_bits();
    |x: u8| (x as i8 as i16 >> 2) as u16;
    |x: u8| match x { 0 => 'z', 1..=9 => 'd', b'a'..=b'z' => 'l', n if n > 150 => 'h', _ => '?' };
}

closures! { control_flow i32: 0..40;
    |x: i32| if x % 15 == 0 { 'f' } else if x % 5 == 0 { 'b' } else { '.' };
    |x: i32| { let mut sum = 0; for i in 0..x { if i % 3 == 0 { continue; } if i > 20 { break; } sum += i; } sum };
    |x: i32| { let mut n = x; let found = loop { n += 7; if n % 11 == 0 { break n; } }; found };
    |x: i32| 'outer: { for a in 1..10 { for b in a..10 { if a * b == x { break 'outer Some((a, b)); } } } None };
    |x: i32| { fn fib(n: i32) -> i32 { if n < 2 { n } else { fib(n - 1) + fib(n - 2) } } fib(x % 12) };
    |x: i32| { let add = |a: i32| a + x; add(add(1)) };
    |x: i32| { let f: fn(i32) -> i32 = if x % 2 == 0 { |v| v * 2 } else { |v| v + 1 }; f(x) };
    |x: i32| (0..x).rev().step_by(3).take(5).fold(1i64, |a, b| a * 31 + b as i64);
    |x: i32| (0..x).filter(|n| n % 2 == 1).map(|n| n * n).sum::<i32>();
    |x: i32| (1..=x).zip((0..x).rev()).any(|(a, b)| a == b);
    |x: i32| (0..10).position(|n| n * n > x);
    |x: i32| (0..x).max_by_key(|n| (n * 7) % 13);
    |x: i32| { let mut a = [0u32; 16]; for i in 0..16 { a[i] = (x as u32).wrapping_mul(2654435761).rotate_left(i as u32); } a.sort_unstable(); a };
    |x: i32| { let mut a = [x, 5, 3, x * 2]; a.reverse(); a.swap(0, 2); a };
    |x: i32| { let a = [1, 2, 3, 5, 8, 13, 21]; a.binary_search(&x).ok() };
    |x: i32| { let a = [x; 9]; a.chunks(2).map(|c| c.iter().sum::<i32>()).max() };
    |x: i32| { let a = [3, 1, 4, 1, 5, 9, 2, 6]; a.windows(2).filter(|w| w[0] < w[1] + x).count() };
    |x: i32| { let a = [[1, 2], [3, x]]; a.iter().flatten().copied().map(i64::from).product::<i64>() };
    |x: i32| { let s = "hello, world"; s.as_bytes()[(x % 12) as usize] };
    |x: i32| { let t = (x, x as f64 / 2.0); t.1 + t.0 as f64 };
    |x: i32| { let o = Some(x).filter(|v| v % 2 == 0); o.map_or(-1, |v| v / 2) };
    |x: i32| { let r: Result<i32, u8> = if x < 20 { Ok(x) } else { Err(7) }; r.unwrap_or_else(|e| e as i32) };
    |x: i32| { let mut it = (0..x).peekable(); let mut n = 0; while let Some(v) = it.next() { if it.peek().is_some_and(|p| p % 4 == 0) { n += v; } } n };
}

closures! { what_fails_fails_at_the_same_item i32: [5, 4, 3, 2, 1, 0, -1, i32::MAX, i32::MIN];
    |x: i32| 100 / x;
    |x: i32| 100 % x;
    |x: i32| x + 1;
    |x: i32| x - i32::MAX;
    |x: i32| x * 1000;
    |x: i32| -(x - 1);
    |x: i32| x.abs();
    |x: i32| 1i32 << (x + 28);
    |x: i32| [1, 2, 3, 4, 5, 6][x as usize];
    |x: i32| { assert!(x > 0, "not above 0: {x}"); x };
    |x: i32| { assert_eq!(x * 2 / 2, x); x };
    |x: i32| if x == 3 { panic!("three") } else { x };
    |x: i32| if x < 0 { unreachable!() } else { x };
    |x: i32| Some(x).filter(|x| *x != 0).unwrap();
    |x: i32| Some(x).filter(|x| *x != 0).expect("not 0");
    |x: i32| u8::try_from(x).unwrap();
    |x: i32| (x as u32).checked_sub(2).unwrap();
    |x: i32| x.pow(9);
    |x: i32| { let a = [1, 2, 3]; a[..x as usize].len() };
    |x: i32| (x as i64).div_euclid((x + 1) as i64);
    |x: i32| (0..x).fold(1i32, |a, n| a * (n + 9));
}

// These need code of core's that isn't compiled with the closure, but taken from its library.
closures! { code_of_core i32: (-4..40).chain([i32::MAX, i32::MIN]);
    |x: i32| std::char::from_u32(x as u32 % 0x3000).is_some_and(char::is_alphabetic);
    |x: i32| std::str::from_utf8(&[b'1', b'0' + (x as u8 % 20)]).ok().and_then(|text| text.parse::<u32>().ok());
    |x: i32| { let mut a: [i32; 40] = std::array::from_fn(|n| (n as i32 * 7919).wrapping_mul(x) % 101); a.sort_unstable(); a[7] };
    |x: i32| { let mut a: [i32; 40] = std::array::from_fn(|n| (n as i32).wrapping_mul(x) % 11); *a.select_nth_unstable(20).1 };
    |x: i32| {
        struct Sum(u32);
        impl std::fmt::Write for Sum {
            fn write_str(&mut self, text: &str) -> std::fmt::Result {
                text.bytes().for_each(|byte| self.0 = self.0.wrapping_mul(31).wrapping_add(byte as u32));
                Ok(())
            }
        }
        let mut sum = Sum(7);
        std::fmt::Write::write_fmt(&mut sum, format_args!("{x} {:>9} {:?} {:x}", x / 3, Some(x as u8), x)).unwrap();
        sum.0
    };
    |x: i32| "12 -7 x9 300".split(' ').nth(x as usize % 4).and_then(|word| word.parse::<i8>().ok()).unwrap();
    |x: i32| (x as u128 + 9).pow(3) / (x as u128 + 1);
    |x: i32| (x as i128 * 1_000_000_007_000_000_003) % 998_244_353_000_000_001;
}

#[test]
fn captures_structs_and_generics() {
    if !can_compile() {
        return;
    }
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Body {
        mass: f32,
        kind: u8,
        at: [f64; 2],
    }
    impl Bits for Body {
        fn same(&self, other: &Body) -> bool {
            self.mass.same(&other.mass) && self.kind == other.kind && self.at.same(&other.at)
        }
    }
    let definitions = &[
        "#[derive(Clone, Copy, Debug, PartialEq)] struct Body { mass: f32, kind: u8, at: [f64; 2] }",
        "trait Pull { fn pull(&self, by: f64) -> Self; }",
        "impl Pull for Body { fn pull(&self, by: f64) -> Body { Body { at: self.at.map(|x| x * by), ..*self } } }",
        "fn twice<P: Pull>(it: P) -> P { it.pull(0.5).pull(3.0) }",
    ];
    let items: Vec<Body> =
        (0..20).map(|n| Body { mass: n as f32 / 3.0, kind: n, at: [n as f64 * 0.1, -(n as f64)] }).collect();
    let (k, table) = (1.25f64, vec![2i32, -3, 5]);
    let case = Case {
        definitions,
        function: "|b: Body| { let mut b = twice(b); b.at[1] += k * table[b.kind as usize % table.len()] as f64; \
                   b.mass += table.iter().sum::<i32>() as f32; b }",
        item: "Body",
        constants: vec![("k", "f64", constant(&[k])), ("table", "Vec<i32>", constant(&table))],
        crates: Crates::default(),
    };
    let expected = |b: Body| {
        let mut b = Body { at: b.at.map(|x| x * 0.5).map(|x| x * 3.0), ..b };
        b.at[1] += k * table[b.kind as usize % table.len()] as f64;
        b.mass += table.iter().sum::<i32>() as f32;
        b
    };
    check(&case, &items, expected, |a, b| a.same(b));
}

/// Closures with mathematics that std leaves to the platform.
const MATHEMATICS: (&str, &[&str]) = (
    "f64",
    &[
        "|x: f64| (x.sin(), x.cos(), x.tan(), x.atan2(2.0))",
        "|x: f64| (x.exp(), x.exp_m1(), x.ln(), x.log10(), x.powf(0.3))",
        "|x: f64| (x.tanh(), x.cbrt(), x.hypot(3.0))",
        "|x: f64| ((x as f32).sin(), (x as f32).exp(), (x as f32).ln(), (x as f32).powf(0.3))",
    ],
);

/// So many closures make a module: their results are a tuple. rustc takes most of the time, however short they are.
const IN_A_MODULE: usize = 8;

#[test]
fn nvidias_assembler_takes_the_code_and_it_says_what_was_written() {
    if !can_compile() {
        return;
    }
    let ptxas = match ptxas::ptxas() {
        Ok(ptxas) => ptxas,
        Err(why) => return eprintln!("skipped, since there is no ptxas: {why}"),
    };
    let groups = [
        floats_of_32_bits::ALL,
        floats_of_64_bits::ALL,
        casts_of_floats::ALL,
        integers_of_32_bits::ALL,
        integers_of_64_bits::ALL,
        small_integers::ALL,
        control_flow::ALL,
        what_fails_fails_at_the_same_item::ALL,
        code_of_core::ALL,
        MATHEMATICS,
    ];
    for (item, all) in groups {
        let (fused, others): (Vec<&str>, Vec<&str>) = all.iter().partition(|function| function.contains("mul_add"));
        for functions in fused.chunks(IN_A_MODULE).chain(others.chunks(IN_A_MODULE)) {
            let calls: String = functions.iter().map(|function| format!("({function})(x), ")).collect();
            let function = format!("|x: {item}| ({calls})");
            let case =
                Case { definitions: &[], function: &function, item, constants: vec![], crates: Crates::default() };
            let ptx = case.build().ptx;
            ptxas::assemble(&ptxas, &ptx).unwrap_or_else(|said| panic!("{function}: {said}"));
            for shorter in [".approx", ".ftz", ".full", "mad.f", "mad.rn"] {
                assert!(!ptx.contains(shorter), "{function} has {shorter}");
            }
            let asks = functions.iter().any(|function| function.contains("mul_add"));
            assert_eq!(
                ptx.contains("fma."),
                asks,
                "{function}: a product and a sum are one step where that is asked for"
            );
        }
    }
}
