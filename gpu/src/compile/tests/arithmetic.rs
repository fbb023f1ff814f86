// The program of a test, behind the prelude: its methods give the same bits as those of std.

use std::hint::black_box;

trait Bits: Copy + std::fmt::Debug {
    fn bits(self) -> u64;
}

impl Bits for f32 {
    fn bits(self) -> u64 {
        if self.is_nan() { u64::MAX } else { self.to_bits().into() }
    }
}

impl Bits for f64 {
    fn bits(self) -> u64 {
        if self.is_nan() { u64::MAX } else { self.to_bits() }
    }
}

fn same<T: Bits>(name: &str, from: &[T], ours: T, theirs: T) {
    assert_eq!(ours.bits(), theirs.bits(), "{name} of {from:?}: {ours:?} instead of {theirs:?}");
}

macro_rules! compare {
    ($type:ident $rem:ident $x:expr, $y:expr, $n:expr) => {{
        let (x, y, n): ($type, $type, i32) = (black_box($x), black_box($y), black_box($n));
        same("%", &[x, y], chorus_gpu::$rem(x, y), x % y);
        same("div_euclid", &[x, y], chorus_gpu::Float::div_euclid(x, y), x.div_euclid(y));
        same("rem_euclid", &[x, y], chorus_gpu::Float::rem_euclid(x, y), x.rem_euclid(y));
        same("round", &[x], chorus_gpu::Float::round(x), x.round());
        same("round_ties_even", &[x], chorus_gpu::Float::round_ties_even(x), x.round_ties_even());
        same("fract", &[x], chorus_gpu::Float::fract(x), x.fract());
        same("powi", &[x, n as $type], chorus_gpu::Float::powi(x, n), x.powi(n));
        same("powi by 3", &[x], chorus_gpu::Float::powi(x, 3), x.powi(3));
        same("powi by 13", &[x], chorus_gpu::Float::powi(x, 13), x.powi(13));
        same("powi by -7", &[x], chorus_gpu::Float::powi(x, -7), x.powi(-7));
    }};
}

fn main() {
    let special = [
        0.0,
        0.5,
        1.0,
        1.5,
        2.5,
        3.0,
        0.1,
        0.49999999999999994,
        0.5000000000000001,
        4503599627370495.5,
        4503599627370496.5,
        9007199254740993.0,
        1e20,
        1e300,
        f64::MAX,
        f64::MIN_POSITIVE,
        f64::MIN_POSITIVE / 3.0,
        5e-324,
        1.5e-323,
        f64::INFINITY,
        f64::NAN,
        f64::EPSILON,
        8388607.5,
        16777217.0,
        1e-45,
        1e-40,
        3.4e38,
    ];
    let exponents = [0, 1, -1, 2, 3, 10, 31, -31, 1000, -1000, i32::MAX, i32::MIN + 1];
    for (at, x) in special.into_iter().enumerate() {
        for y in special {
            for (x, y) in [(x, y), (-x, y), (x, -y), (-x, -y)] {
                compare!(f64 px_rem_f64 x, y, exponents[at % exponents.len()]);
                compare!(f32 px_rem_f32 x as f32, y as f32, exponents[at % exponents.len()]);
            }
        }
    }
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state ^ state >> 29).wrapping_mul(0xbf58476d1ce4e5b9) ^ state >> 32
    };
    for _ in 0..200_000 {
        let (a, b, n) = (random(), random(), random() as i32);
        // Of any size, of similar sizes, and of few bits.
        let near = b & !(0x7ff << 52) | (a >> 52 & 0x7ff).saturating_sub(b % 70).max(1) << 52;
        for (a, b) in [(a, b), (a, near), (a & !0 << 44, near & !0 << 44)] {
            compare!(f64 px_rem_f64 f64::from_bits(a), f64::from_bits(b), n % 50);
            compare!(f32 px_rem_f32 f32::from_bits((a >> 32) as u32), f32::from_bits((b >> 32) as u32), n);
        }
        compare!(f64 px_rem_f64 (a >> 40) as f64 / 64.0, (b >> 50) as f64 / 8.0, n % 9);
    }
}
