//! What the tests run on the processor and, as PTX, on the simulated device. `each!` names all.
//!
//! A result that isn't a number may have any bits in Rust, so these functions give none away.

use super::math;

#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Mixed {
    pub byte: u8,
    pub short: u16,
    pub int: i32,
    pub float: f32,
    pub long: u64,
    pub double: f64,
    pub flag: bool,
}

fn single(x: f32) -> u32 {
    if x.is_nan() { 0x7fc0_0000 } else { x.to_bits() }
}

fn double(x: f64) -> u64 {
    if x.is_nan() { 0x7ff8 << 48 } else { x.to_bits() }
}

#[inline(never)]
fn changed(it: Mixed) -> Mixed {
    Mixed {
        byte: it.byte ^ 3,
        short: it.short.wrapping_add(it.byte as u16),
        int: it.int.wrapping_mul(3),
        float: it.float * 1.5,
        long: it.long.rotate_left(9),
        double: it.double / 3.0,
        flag: !it.flag,
    }
}

pub fn structs(it: Mixed) -> Mixed {
    changed(changed(it))
}

pub fn switch(x: u32) -> u32 {
    match x % 12 {
        0 => x.wrapping_mul(3),
        1 => x ^ 77,
        2 => x.count_ones(),
        3 => x / 7,
        4 => x.reverse_bits(),
        5 => x.swap_bytes(),
        6 => x.leading_zeros(),
        7 => x.trailing_zeros(),
        8 => x % 10,
        9 => x.wrapping_add(5).rotate_left(x & 31),
        10 => x.wrapping_sub(1) << (x & 15),
        _ => (x as i32 >> (x & 7)) as u32,
    }
}

pub fn signed([a, b]: [i32; 2]) -> [i32; 8] {
    let odd = b | 1;
    [
        a.saturating_add(b),
        a.saturating_sub(b),
        a.wrapping_abs(),
        a.signum(),
        a.wrapping_rem(odd),
        a.wrapping_div(odd),
        a.rem_euclid(odd.max(2)),
        (a as i16 as i32) ^ (b as i8 as i32),
    ]
}

pub fn bytes([a, b]: [i8; 2]) -> [i8; 12] {
    let n = b as u32;
    [
        a.saturating_add(b),
        a.saturating_sub(b),
        a.wrapping_mul(b),
        a.wrapping_abs(),
        a.wrapping_shl(n),
        a.wrapping_shr(n),
        a.rotate_left(n & 7),
        a.wrapping_div(b | 1),
        a.reverse_bits(),
        a.leading_zeros() as i8,
        a.trailing_zeros() as i8,
        a.min(b),
    ]
}

pub fn shorts([a, b]: [u16; 2]) -> [u16; 12] {
    let n = b as u32;
    [
        a.saturating_add(b),
        a.saturating_sub(b),
        a.wrapping_mul(b),
        a / (b | 1),
        a.wrapping_shl(n),
        a.wrapping_shr(n),
        a.rotate_left(n & 7),
        a.swap_bytes(),
        a.reverse_bits(),
        a.leading_zeros() as u16,
        a.trailing_zeros() as u16,
        a % (b | 1),
    ]
}

pub fn longs([a, b]: [u64; 2]) -> [u64; 14] {
    let n = b as u32;
    [
        a.saturating_add(b),
        a.saturating_sub(b),
        a.wrapping_mul(b),
        a / (b | 1),
        a.wrapping_shl(n),
        a.wrapping_shr(n),
        a.rotate_left(n),
        a.swap_bytes(),
        a.reverse_bits(),
        a.leading_zeros() as u64,
        a.trailing_zeros() as u64,
        a % (b | 1),
        a.count_ones() as u64,
        ((a as i64) >> (b & 63)) as u64,
    ]
}

pub fn signed_longs([a, b]: [i64; 2]) -> [i64; 8] {
    let odd = b | 1;
    [
        a.saturating_add(b),
        a.saturating_sub(b),
        a.wrapping_abs(),
        a.wrapping_div(odd),
        a.wrapping_rem(odd),
        a.rem_euclid(odd.max(3)),
        a.signum(),
        a.max(b),
    ]
}

pub fn wide(x: [u64; 4]) -> [u64; 8] {
    let a = (x[0] as u128) << 64 | x[1] as u128;
    let b = (x[2] as u128) << 64 | x[3] as u128;
    let (product, sum, difference) = (a.wrapping_mul(b), a.wrapping_add(b), a.wrapping_sub(b));
    let shifted = a >> (x[3] & 127);
    let all = [product, sum, difference, shifted];
    let mut result = [0; 8];
    for (i, it) in all.iter().enumerate() {
        result[2 * i] = *it as u64;
        result[2 * i + 1] = (*it >> 64) as u64;
    }
    result
}

pub fn of_single(x: f32) -> [u64; 9] {
    [
        x as u8 as u64,
        x as i8 as u64,
        x as u16 as u64,
        x as i16 as u64,
        x as u32 as u64,
        x as i32 as u64,
        x as u64,
        x as i64 as u64,
        double(x as f64),
    ]
}

pub fn of_double(x: f64) -> [u64; 9] {
    [
        x as u8 as u64,
        x as i8 as u64,
        x as u16 as u64,
        x as i16 as u64,
        x as u32 as u64,
        x as i32 as u64,
        x as u64,
        x as i64 as u64,
        single(x as f32) as u64,
    ]
}

pub fn to_single(x: u64) -> [u32; 8] {
    let all = [x as u8 as f32, x as i8 as f32, x as u16 as f32, x as i16 as f32];
    let more = [x as u32 as f32, x as i32 as f32, x as f32, x as i64 as f32];
    let mut result = [0; 8];
    for i in 0..4 {
        result[i] = single(all[i]);
        result[i + 4] = single(more[i]);
    }
    result
}

pub fn to_double(x: u64) -> [u64; 8] {
    let all = [x as u8 as f64, x as i8 as f64, x as u16 as f64, x as i16 as f64];
    let more = [x as u32 as f64, x as i32 as f64, x as f64, x as i64 as f64];
    let mut result = [0; 8];
    for i in 0..4 {
        result[i] = double(all[i]);
        result[i + 4] = double(more[i]);
    }
    result
}

pub fn singles([a, b]: [f32; 2]) -> [u32; 16] {
    let kind = a.is_nan() as u32 + 2 * a.is_infinite() as u32 + 4 * a.is_normal() as u32 + 8 * a.is_subnormal() as u32;
    [
        single(a + b),
        single(a - b),
        single(a * b),
        single(a / b),
        (a < b) as u32,
        (a <= b) as u32,
        (a != b) as u32,
        !(a > b) as u32,
        single(a.abs()),
        a.copysign(b).abs().to_bits() & 0x7f80_0000,
        single(-a),
        (a == b) as u32,
        kind,
        a.total_cmp(&b) as u32,
        single(math::sqrt(a)),
        single(1.0 / a),
    ]
}

pub fn doubles([a, b]: [f64; 2]) -> [u64; 16] {
    let kind = a.is_nan() as u64 + 2 * a.is_infinite() as u64 + 4 * a.is_normal() as u64 + 8 * a.is_subnormal() as u64;
    [
        double(a + b),
        double(a - b),
        double(a * b),
        double(a / b),
        (a < b) as u64,
        (a <= b) as u64,
        (a != b) as u64,
        !(a > b) as u64,
        double(a.abs()),
        double(a.copysign(b)),
        double(-a),
        (a == b) as u64,
        kind,
        a.total_cmp(&b) as u64,
        double(math::fma(a, b, a)),
        double(1.0 / a),
    ]
}

pub fn extremes([a, b, c]: [f64; 3]) -> [u64; 4] {
    // The sign of zero is left open by Rust.
    let shown = |x: f64| double(x + 0.0);
    [shown(a.max(b)), shown(a.min(b)), shown(c.clamp(-1.0, 1.0)), shown((a as f32).max(b as f32).min(c as f32) as f64)]
}

trait Hash {
    fn hash(&self, x: u32) -> u32;
    fn name(&self) -> &'static str {
        "xor"
    }
}
struct Xor(u32);
struct Product(u16, u8);
impl Hash for Xor {
    #[inline(never)]
    fn hash(&self, x: u32) -> u32 {
        x ^ self.0
    }
}
impl Hash for Product {
    #[inline(never)]
    fn hash(&self, x: u32) -> u32 {
        x.wrapping_mul(self.0 as u32).wrapping_add(self.1 as u32)
    }
    fn name(&self) -> &'static str {
        "product"
    }
}
static STEPS: [fn(u32) -> u32; 3] = [|x| x.wrapping_add(1), |x| x.rotate_left(3), |x| !x];

pub fn dynamic(x: u32) -> u32 {
    let (xor, product) = (Xor(x >> 3), Product(x as u16, 7));
    let hash: &dyn Hash = if x % 3 == 0 { &xor } else { &product };
    STEPS[(x % 3) as usize](hash.hash(x)) ^ hash.name().len() as u32
}

static WORDS: [&str; 5] = ["zero", "one", "two", "three", "fourteen"];

pub fn words(x: u32) -> u64 {
    WORDS[(x % 5) as usize].bytes().fold(x as u64, |hash, byte| hash.wrapping_mul(31) ^ byte as u64)
}

pub fn sorted(seed: u64) -> [u32; 24] {
    let mut state = seed | 1;
    let mut all = [0; 24];
    for it in &mut all {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *it = state as u32;
    }
    all.sort_unstable();
    all
}

pub fn primes(most: u32) -> u32 {
    let mut prime = [true; 256];
    let mut count = 0;
    for i in 2..(most % 257) as usize {
        if prime[i] {
            count += 1;
            let mut multiple = i * i;
            while multiple < 256 {
                prime[multiple] = false;
                multiple += i;
            }
        }
    }
    count
}

pub fn mandelbrot([re, im]: [f64; 2]) -> u32 {
    let (mut x, mut y) = (0.0, 0.0);
    for step in 0..200 {
        let (a, b) = (x * x, y * y);
        if !(a + b <= 4.0) {
            return step;
        }
        y = 2.0 * x * y + im;
        x = a - b + re;
    }
    200
}

#[inline(never)]
fn fibonacci(n: u32) -> u32 {
    if n < 2 { n } else { fibonacci(n - 1) + fibonacci(n - 2) }
}

pub fn recursive(x: u32) -> u32 {
    fibonacci(x % 12)
}

pub fn collatz(x: u32) -> u32 {
    let (mut n, mut steps) = ((x >> 8) as u64 + 1, 0);
    while n != 1 {
        n = if n % 2 == 0 { n / 2 } else { 3 * n + 1 };
        steps += 1;
    }
    steps
}

pub fn digits(x: u32) -> [u8; 12] {
    let mut text = [b' '; 12];
    let (mut rest, mut at) = (x, 11);
    loop {
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return text;
        }
        at -= 1;
    }
}

pub fn encoded(x: u32) -> u32 {
    let it = char::from_u32(x % 0x12_0000).unwrap_or('x');
    let mut buffer = [0; 4];
    let text = it.encode_utf8(&mut buffer);
    let hash = text.bytes().fold(7u32, |hash, byte| hash.wrapping_mul(31) ^ byte as u32);
    hash ^ text.chars().map(|it| it.to_ascii_uppercase() as u32).sum::<u32>()
}

pub fn checked([a, b]: [u32; 2]) -> [u32; 2] {
    match a.checked_sub(b).and_then(|it| it.checked_mul(7)).filter(|it| it % 2 == 0) {
        Some(it) => [1, it],
        None => [0, 0],
    }
}

pub fn matrix(x: [f32; 16]) -> [u32; 16] {
    let mut product = [0; 16];
    for i in 0..4 {
        for j in 0..4 {
            product[i * 4 + j] = single((0..4).map(|k| x[i * 4 + k] * x[k * 4 + j]).sum());
        }
    }
    product
}

pub fn truths([a, b]: [u32; 2]) -> [bool; 6] {
    [
        a < b,
        a <= b && a & 1 == 0,
        (a as i32) < b as i32 || b == 3,
        (a ^ b) & 4 != 0,
        a.is_power_of_two(),
        (a < b) ^ (a & 1 == 0),
    ]
}

pub fn moved(x: u64) -> [u64; 64] {
    let mut all = [x; 64];
    for (i, it) in all.iter_mut().enumerate() {
        *it = it.wrapping_mul(i as u64);
    }
    let before = all;
    all[(x % 64) as usize] = before[(x % 63) as usize];
    all.rotate_left((x % 64) as usize);
    all
}

pub fn reversed(x: [u8; 16]) -> [u8; 16] {
    let mut all = x;
    all.reverse();
    for i in 1..16 {
        all[i] = all[i].wrapping_add(all[i - 1]).rotate_left(1);
    }
    let word = u32::from_be_bytes([all[3], all[2], all[1], all[0]]);
    all[0] = (word >> 11) as u8;
    all
}

pub fn logarithms(x: u64) -> u64 {
    x.isqrt() + x.checked_ilog2().unwrap_or(9) as u64 + x.checked_ilog10().unwrap_or(9) as u64
}

pub fn searched(x: u32) -> u32 {
    static TABLE: [u32; 9] = [1, 5, 9, 20, 70, 300, 4000, 70000, 900000];
    match TABLE.binary_search(&(x >> (x & 31))) {
        Ok(at) => at as u32,
        Err(at) => 100 + at as u32,
    }
}

pub fn split(x: u32) -> u64 {
    let letters = "the quick brown fox".chars().enumerate().filter(|(_, it)| *it as u32 % 7 == x % 7);
    let hash = letters.fold(0, |hash: u64, (i, _)| hash.wrapping_mul(37).wrapping_add(i as u64));
    hash + "a,b;c".split(|it| it == ',' || it as u32 == x % 128).count() as u64
}

pub fn area(x: f32) -> u32 {
    enum Shape {
        Circle(f32),
        Rectangle { width: f32, height: f32 },
    }
    let shape = if x > 0.5 { Shape::Circle(x) } else { Shape::Rectangle { width: x, height: x.max(0.25) } };
    match shape {
        Shape::Circle(radius) => single(3.14 * radius * radius),
        Shape::Rectangle { width, height } => single(width * height),
    }
}

pub fn panics(x: u32) -> u32 {
    let all = [1u32, 2, 3];
    assert!(x != 7, "not {x}");
    all[(x % 4) as usize] + 10 / (x % 16 - 1)
}

macro_rules! each {
    ($use:ident) => {
        $use! {
            structs: Mixed => Mixed; switch: u32 => u32; signed: [i32; 2] => [i32; 8]; bytes: [i8; 2] => [i8; 12];
            shorts: [u16; 2] => [u16; 12]; longs: [u64; 2] => [u64; 14]; signed_longs: [i64; 2] => [i64; 8];
            wide: [u64; 4] => [u64; 8]; of_single: f32 => [u64; 9]; of_double: f64 => [u64; 9];
            to_single: u64 => [u32; 8]; to_double: u64 => [u64; 8]; singles: [f32; 2] => [u32; 16];
            doubles: [f64; 2] => [u64; 16]; extremes: [f64; 3] => [u64; 4]; dynamic: u32 => u32; words: u32 => u64;
            sorted: u64 => [u32; 24]; primes: u32 => u32; mandelbrot: [f64; 2] => u32; recursive: u32 => u32;
            collatz: u32 => u32; digits: u32 => [u8; 12]; encoded: u32 => u32; checked: [u32; 2] => [u32; 2];
            matrix: [f32; 16] => [u32; 16]; truths: [u32; 2] => [bool; 6]; moved: u64 => [u64; 64];
            reversed: [u8; 16] => [u8; 16]; logarithms: u64 => u64; searched: u32 => u32; split: u32 => u64;
            area: f32 => u32; panics: u32 => u32;
        }
    };
}
