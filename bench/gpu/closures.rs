//! Closures that rustc compiles to PTX and to x86-64 from this one text; run.py compares what they give, bit for bit.
//! run.py reads names and types from the lines of `closures!`.
#![cfg_attr(target_arch = "nvptx64", no_std)]

use core::cmp::Ordering;
use core::fmt::Write;
use core::mem::{align_of, offset_of, size_of, transmute_copy};

/// One item: read, call, write. Without input the items are the indices.
#[inline(always)]
unsafe fn item<A: Copy, R>(f: impl Fn(A) -> R, input: *const A, output: *mut R, i: usize) {
    // SAFETY: run.py gives buffers of this type, longer than `i`. No input is given only where items are as big as indices.
    unsafe {
        let indices = size_of::<A>() == size_of::<usize>() && input.is_null();
        let x = if indices { transmute_copy(&i) } else { input.add(i).read() };
        output.add(i).write(f(x));
    }
}

fn typed<A, R, F: Fn(A) -> R>(f: F) -> F {
    f
}

#[cfg(target_arch = "nvptx64")]
mod device {
    // Their bodies are PTX of run.py's: a panic's notes item and line, and ends the thread.
    unsafe extern "C" {
        fn px_fail(line: u32) -> !;
        fn px_sqrt_f32(x: f32) -> f32;
        fn px_sqrt_f64(x: f64) -> f64;
        fn px_floor_f64(x: f64) -> f64;
        fn px_trunc_f64(x: f64) -> f64;
        fn px_round_ties_even_f64(x: f64) -> f64;
        fn px_mul_add_f32(x: f32, y: f32, z: f32) -> f32;
    }

    #[panic_handler]
    fn panic(info: &core::panic::PanicInfo) -> ! {
        unsafe { px_fail(info.location().map_or(0, |at| at.line())) }
    }

    // What only std has. The CPU uses std's own.
    #[rustfmt::skip]
    pub trait F32 { fn sqrt(self) -> f32; fn mul_add(self, y: f32, z: f32) -> f32; }
    #[rustfmt::skip]
    impl F32 for f32 {
        #[inline(always)] fn sqrt(self) -> f32 { unsafe { px_sqrt_f32(self) } }
        #[inline(always)] fn mul_add(self, y: f32, z: f32) -> f32 { unsafe { px_mul_add_f32(self, y, z) } }
    }
    #[rustfmt::skip]
    pub trait F64 { fn sqrt(self) -> f64; fn floor(self) -> f64; fn trunc(self) -> f64; fn round_ties_even(self) -> f64; }
    #[rustfmt::skip]
    impl F64 for f64 {
        #[inline(always)] fn sqrt(self) -> f64 { unsafe { px_sqrt_f64(self) } }
        #[inline(always)] fn floor(self) -> f64 { unsafe { px_floor_f64(self) } }
        #[inline(always)] fn trunc(self) -> f64 { unsafe { px_trunc_f64(self) } }
        #[inline(always)] fn round_ties_even(self) -> f64 { unsafe { px_round_ties_even_f64(self) } }
    }
}
#[cfg(target_arch = "nvptx64")]
use device::{F32, F64};

/// `n` items on the CPU. With `lines` a panic leaves its line there and the output alone.
#[cfg(not(target_arch = "nvptx64"))]
unsafe fn twin<A: Copy, R>(f: impl Fn(A) -> R, input: *const A, output: *mut R, lines: *mut u32, n: usize) {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    static LINE: AtomicU32 = AtomicU32::new(0);
    if !lines.is_null() {
        std::panic::set_hook(Box::new(|info| LINE.store(info.location().map_or(0, |at| at.line()), Relaxed)));
    }
    for i in 0..n {
        let run = std::panic::AssertUnwindSafe(|| unsafe { item(&f, input, output, i) });
        if lines.is_null() {
            run();
        } else if std::panic::catch_unwind(run).is_err() {
            unsafe { *lines.add(i) = LINE.load(Relaxed) };
        }
    }
}

macro_rules! closures { ($($name:ident: $in:ty => $out:ty, $f:expr;)*) => { $(
    #[cfg(target_arch = "nvptx64")]
    #[unsafe(no_mangle)]
    unsafe extern "C" fn $name(input: *const $in, output: *mut $out, i: usize) { let f = typed::<$in, $out, _>($f); unsafe { item(f, input, output, i) } }
    #[cfg(not(target_arch = "nvptx64"))]
    #[unsafe(no_mangle)]
    unsafe extern "C" fn $name(input: *const $in, output: *mut $out, lines: *mut u32, n: usize) {
        let f = typed::<$in, $out, _>($f);
        unsafe { twin(f, input, output, lines, n) }
    }
)* } }

// Not to and from 128 bits: LLVM 22 has no code for that here ("unsupported library call operation").
macro_rules! casts { ($x:expr) => {{
    let x = $x;
    [x as i8 as i64, x as i16 as i64, x as i32 as i64, x as i64, x as isize as i64, x as u8 as i64, x as u16 as i64,
        x as u32 as i64, x as u64 as i64, x as usize as i64]
}} }

macro_rules! layouts { ($which:expr; $($t:ty: $($field:expr),*;)*) => {{
    let table = [$([size_of::<$t>(), align_of::<$t>(), [0usize $(, offset_of!($t, $field))*].iter().fold(0, |all, at| all * 256 + at)]),*];
    table[$which as usize % table.len()].map(|x| x as u64)
}} }

#[derive(Clone, Copy)]
enum Side { Buy, Sell(u16), Hold { days: u8, price: f32 } }
#[derive(Clone, Copy)]
struct Order { flag: bool, price: f64, count: u16, side: Side, tag: Option<u32> }
trait Area { fn area(&self) -> f64; }
impl Area for f64 { fn area(&self) -> f64 { self * self * 3.0 } }
impl Area for [f64; 2] { fn area(&self) -> f64 { self[0] * self[1] } }
struct Text { bytes: [u8; 32], len: usize }
impl Write for Text {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + s.len()).ok_or(core::fmt::Error)?;
        room.copy_from_slice(s.as_bytes());
        self.len += s.len();
        Ok(())
    }
}
#[inline(never)]
fn trade(o: Order) -> Order {
    let side = match o.side { Side::Buy => Side::Sell(o.count), Side::Sell(n) => Side::Hold { days: n as u8, price: o.price as f32 }, Side::Hold { .. } => Side::Buy };
    Order { flag: !o.flag, price: o.price * 1.5, count: o.count + 1, side, tag: o.tag.and_then(|t| t.checked_sub(3)) }
}
#[inline(never)]
fn depth(n: u64) -> u64 { if n == 0 { 0 } else { let m = [n; 32]; 1 + core::hint::black_box(&m)[n as usize % 32] % 2 + depth(n - 1) } }
fn wide(x: [u64; 4]) -> (i128, i128) { ((x[0] as i128) << 64 | x[1] as i128, (x[2] as i128) << 64 | x[3] as i128) }
fn split(x: i128) -> [u64; 2] { [(x >> 64) as u64, x as u64] }
fn order(x: Option<Ordering>) -> f64 { x.map_or(9.0, |x| x as i8 as f64) }
/// How far 64 equal nodes go: pairs, pairs of pairs, and so on.
fn pairs(mut nodes: [f64; 64]) -> f64 {
    let mut n = 32;
    while n > 0 { for i in 0..n { nodes[i] = nodes[2 * i] + nodes[2 * i + 1]; } n /= 2; }
    nodes[0]
}

closures! {
    arithmetic_f32: [f32; 3] => [f32; 7], |[a, b, c]| [a + b, a - b * c, a * b + c, a / b, (a * a + 1.0).sqrt() / 3.0, a.mul_add(b, c), a.recip()];
    arithmetic_f64: [f64; 3] => [f64; 8], |[a, b, c]| [a + b, a - b * c, a / b, a.sqrt(), a.floor(), b.trunc(), c.round_ties_even(), b as f32 as f64];
    remainder_f32: [f32; 2] => [f32; 1], |[a, b]| [a % b];
    remainder_f64: [f64; 2] => [f64; 1], |[a, b]| [a % b];
    min_max_f32: [f32; 3] => [f32; 5], |[a, b, c]| [a.min(b), a.max(b), a.abs(), a.copysign(b), if b < c { a.clamp(b, c) } else { a.signum() }];
    min_max_f64: [f64; 2] => [f64; 6], |[a, b]| [a.min(b), a.max(b), order(a.partial_cmp(&b)), (a < b) as u8 as f64, a.signum(), order(Some(a.abs().total_cmp(&b.abs())))];
    cast_f32: [f32; 1] => [i64; 10], |[x]| casts!(x);
    cast_f64: [f64; 1] => [i64; 10], |[x]| casts!(x);
    cast_to_float: [u64; 1] => [f64; 6], |[a]| [a as f64, a as i64 as f64, a as f32 as f64, a as i64 as f32 as f64, a as u32 as f32 as f64, a as i32 as f32 as f64];
    checked_i32: [i32; 2] => [i32; 3], |[a, b]| [a * 3 - b, a / b, a % b];
    checked_i64: [i64; 2] => [i64; 3], |[a, b]| [a * b, a - b.abs(), a << (b & 127)];
    bits_u64: [u64; 2] => [u64; 9], |[a, b]| [a.wrapping_mul(b), a.rotate_left(b as u32), a.leading_zeros() as u64, a.count_ones() as u64, a.saturating_add(b), a.checked_div(b).unwrap_or(7), a.reverse_bits() ^ a.swap_bytes(), a.wrapping_shr(b as u32), a.overflowing_sub(b).0];
    wide_i128: [u64; 4] => [u64; 8], |x| { let (a, b) = wide(x); let ([p, q], [r, s]) = (split(a / b), split(a % b)); let ([t, u], [v, w]) = (split(a.wrapping_mul(b)), split((a as u128 / 10) as i128)); [p, q, r, s, t, u, v, w] };
    windows: [f64; 16] => [f64; 4], |v| [v.windows(2).filter(|w| w[0] < w[1]).count() as f64, v.iter().map(|x| x * x).sum(), v.chunks(5).map(|c| c[c.len() / 2]).sum(), v[v[0] as usize % 17]];
    sort: [u32; 64] => [u32; 64], |mut v| { v.sort_unstable(); v };
    sort_by: [f64; 24] => [f64; 24], |mut v| { v.sort_unstable_by(|a, b| b.total_cmp(a)); v };
    collatz: [u32; 1] => [u32; 1], |[x]| { let (mut n, mut steps) = (x.max(1) as u64, 0); while n != 1 { n = if n % 2 == 0 { n / 2 } else { 3 * n + 1 }; steps += 1; } [steps] };
    by_value: [u64; 2] => [u64; 4], |[a, b]| {
        let side = match a % 3 { 0 => Side::Buy, 1 => Side::Sell(b as u16), _ => Side::Hold { days: b as u8, price: a as f32 } };
        let o = trade(trade(Order { flag: a > b, price: b as f64, count: a as u16, side, tag: (a & 8 != 0).then_some(b as u32) }));
        let side = match o.side { Side::Buy => 0, Side::Sell(n) => 1 + n as u64, Side::Hold { days, price } => 1 << 40 | (days as u64) << 32 | price.to_bits() as u64 };
        [o.price.to_bits(), (o.count as u64) << 1 | o.flag as u64, side, o.tag.map_or(u64::MAX, |t| t as u64)]
    };
    dynamic: [f64; 2] => [f64; 1], |x| { let shape: &dyn Area = if x[0] < x[1] { &x[0] } else { &x }; [core::hint::black_box(shape).area()] };
    chars: [u32; 1] => [u32; 7], |[x]| { let c = char::from_u32(x % 0x111000).unwrap(); let mut b = [0; 4]; let s = c.encode_utf8(&mut b); [s.len() as u32, c.is_alphabetic() as u32, c.to_ascii_uppercase() as u32, c.to_lowercase().next().map_or(0, |c| c as u32), c.to_digit(36).unwrap_or(99), (c.is_numeric() ^ c.is_whitespace()) as u32, s.chars().map(|c| c as u32).sum()] };
    panics: [u32; 2] => [u32; 1], |[a, b]| { assert!(a % 1000 != 7, "seven: {a}");
        let table = [3u32, 1, 4, 1, 5];
        let x = table[(b % 7) as usize];
        [x + table.get(a as usize % 6).copied().expect("none there")] };
    text: [f64; 1] => [u32; 8], |[x]| { let mut t = Text { bytes: [b' '; 32], len: 0 }; let _ = write!(t, "{x:e}"); core::array::from_fn(|i| u32::from_le_bytes([0, 1, 2, 3].map(|k| t.bytes[4 * i + k]))) };
    parse: [u32; 3] => [f64; 1], |x| { let b = x.map(|x| b"0123456789.e-+12"[x as usize % 16]); [core::str::from_utf8(&b).unwrap().parse::<f64>().unwrap_or(-1.0)] };
    libm_f32: [f32; 2] => [f32; 5], |[x, y]| [libm::sinf(x), libm::expf(x), libm::powf(x, y), libm::logf(x), libm::fmodf(x, y)];
    libm_f64: [f64; 2] => [f64; 6], |[x, y]| [libm::sin(x), libm::exp(x), libm::pow(x, y), libm::tan(y), libm::cbrt(x), libm::fmod(x, y)];
    layout: [u32; 1] => [u64; 3], |[i]| layouts!(i;
        (u8, u64, u16): 0, 1, 2; (u8, u128): 0, 1; Order: flag, price, count, side, tag; Side: ; Option<u64>: ; Option<char>: ; u128: ; i128: ; f64: ;
        usize: ; &str: ; Option<&u8>: ; Result<u32, u8>: ; core::time::Duration: ; Ordering: ; Option<Option<bool>>: ; [u16; 3]: ; (f32, (u8, f64)): 0, 1;);
    niches: [u32; 1] => [u32; 3], |[x]| unsafe { [transmute_copy(&char::from_u32(x)), transmute_copy::<Option<bool>, u8>(&[None, Some(false), Some(true)][x as usize % 3]) as u32, transmute_copy::<_, u8>(&x.cmp(&77)) as u32] };
    black_scholes: [f32; 5] => [f32; 2], |[s, k, t, r, v]| {
        let d1 = (libm::logf(s / k) + (r + v * v * 0.5) * t) / (v * t.sqrt());
        let normal = |d: f32| 0.5 * (1.0 + libm::erff(d * core::f32::consts::FRAC_1_SQRT_2));
        let paid = k * libm::expf(-r * t);
        let call = s * normal(d1) - paid * normal(d1 - v * t.sqrt());
        [call, call - s + paid]
    };
    combine: [f64; 64] => [f64; 1], |nodes| [pairs(nodes)];
}

// Not in the corpus: for the times and the traps.
closures! {
    square: [f32; 1] => [f32; 1], |[x]| [x * x + 1.0];
    mandelbrot: [u64; 1] => [u32; 1], |[i]| {
        let (re, im) = ((i % 4096) as f32 / 4096.0 * 3.0 - 2.0, (i / 4096) as f32 / 4096.0 * 3.0 - 1.5);
        let (mut x, mut y, mut n) = (0.0, 0.0, 0);
        while n < 256 && x * x + y * y <= 4.0 { (x, y, n) = (x * x - y * y + re, 2.0 * x * y + im, n + 1); }
        [n]
    };
    leaf: [u64; 1] => [f64; 1], |[i]| {
        let mut lanes = [0.0; 8];
        for k in 0..64 { let x = (i * 64 + k + 1) as f64; lanes[k as usize % 8] += 1.0 / (x * x); }
        [((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]))]
    };
    leaf_u64: [u64; 1] => [u64; 1], |[i]| [(i * 64..i * 64 + 64).map(|x| x ^ 3).sum()];
    spin: [u64; 1] => [u64; 1], |[n]| { let mut x = n; for _ in 0..n { x = x.wrapping_mul(6364136223846793005).wrapping_add(x >> 33); } [x] };
    wild: [u64; 1] => [u32; 1], |[at]| [unsafe { (at as *const u32).read_volatile() }];
    recurse: [u64; 1] => [u64; 1], |[n]| [depth(n)];
}
