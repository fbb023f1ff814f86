
unsafe extern "C" {
    safe fn px_sqrt_f32(x: f32) -> f32;
    safe fn px_sqrt_f64(x: f64) -> f64;
    safe fn px_fma_f32(x: f32, y: f32, z: f32) -> f32;
    safe fn px_fma_f64(x: f64, y: f64, z: f64) -> f64;
    safe fn px_floor_f32(x: f32) -> f32;
    safe fn px_floor_f64(x: f64) -> f64;
    safe fn px_ceil_f32(x: f32) -> f32;
    safe fn px_ceil_f64(x: f64) -> f64;
    safe fn px_trunc_f32(x: f32) -> f32;
    safe fn px_trunc_f64(x: f64) -> f64;
    safe fn px_rint_f32(x: f32) -> f32;
    safe fn px_rint_f64(x: f64) -> f64;
}

/// The methods of floats that only std has, as far as their results are the same bits here as there. Those that std
/// leaves to the platform's mathematics, such as `sin`, are left out on purpose: rustc says that there is none.
pub trait Float: Sized {
    fn sqrt(self) -> Self;
    fn mul_add(self, a: Self, b: Self) -> Self;
    fn floor(self) -> Self;
    fn ceil(self) -> Self;
    fn trunc(self) -> Self;
    fn round(self) -> Self;
    fn round_ties_even(self) -> Self;
    fn fract(self) -> Self;
    fn powi(self, n: i32) -> Self;
    fn div_euclid(self, rhs: Self) -> Self;
    fn rem_euclid(self, rhs: Self) -> Self;
}

macro_rules! floats {
    ($type:ident: $sqrt:ident $fma:ident $floor:ident $ceil:ident $trunc:ident $rint:ident) => {
        impl Float for $type {
            #[inline(always)]
            fn sqrt(self) -> $type {
                $sqrt(self)
            }
            #[inline(always)]
            fn mul_add(self, a: $type, b: $type) -> $type {
                $fma(self, a, b)
            }
            #[inline(always)]
            fn floor(self) -> $type {
                $floor(self)
            }
            #[inline(always)]
            fn ceil(self) -> $type {
                $ceil(self)
            }
            #[inline(always)]
            fn trunc(self) -> $type {
                $trunc(self)
            }
            /// Halves go away from zero. The difference is exact, and zero keeps its sign.
            #[inline(always)]
            fn round(self) -> $type {
                let whole = $trunc(self);
                if (self - whole).abs() >= 0.5 { whole + $type::copysign(1.0, self) } else { whole }
            }
            #[inline(always)]
            fn round_ties_even(self) -> $type {
                $rint(self)
            }
            #[inline(always)]
            fn fract(self) -> $type {
                self - $trunc(self)
            }
            /// The products are those of the compiler's own function for CPUs, in its order.
            #[inline]
            fn powi(self, n: i32) -> $type {
                let (mut square, mut left, mut power) = (self, n.unsigned_abs(), 1.0);
                loop {
                    if left & 1 == 1 {
                        power *= square;
                    }
                    left >>= 1;
                    if left == 0 {
                        break if n < 0 { 1.0 / power } else { power };
                    }
                    square *= square;
                }
            }
            #[inline]
            fn div_euclid(self, rhs: $type) -> $type {
                let quotient = $trunc(self / rhs);
                match self % rhs < 0.0 {
                    true if rhs > 0.0 => quotient - 1.0,
                    true => quotient + 1.0,
                    false => quotient,
                }
            }
            #[inline]
            fn rem_euclid(self, rhs: $type) -> $type {
                let rest = self % rhs;
                if rest < 0.0 { rest + rhs.abs() } else { rest }
            }
        }
    };
}

floats!(f32: px_sqrt_f32 px_fma_f32 px_floor_f32 px_ceil_f32 px_trunc_f32 px_rint_f32);
floats!(f64: px_sqrt_f64 px_fma_f64 px_floor_f64 px_ceil_f64 px_trunc_f64 px_rint_f64);

/// `x % y`, exact as on a CPU. What LLVM makes of `%` for this target isn't: it divides, rounds and multiplies. So
/// calls of this are put in its place when the code is linked.
#[unsafe(no_mangle)]
pub extern "C" fn px_rem_f64(x: f64, y: f64) -> f64 {
    const SIGN: u64 = 1 << 63;
    const INFINITE: u64 = 0x7ff << 52;
    const ONE: u64 = 1 << 52;
    let sign = x.to_bits() & SIGN;
    let (a, b) = (x.to_bits() & !SIGN, y.to_bits() & !SIGN);
    if a >= INFINITE || b == 0 || b > INFINITE {
        return f64::NAN;
    }
    if a < b {
        return x;
    }
    // A number is its mantissa times a power of two; subnormal ones have the same power as the smallest normal ones.
    let exponent = |bits: u64| (bits >> 52).max(1) as u32;
    let mantissa = |bits: u64| if bits < ONE { bits } else { bits & (ONE - 1) | ONE };
    let (power, divisor) = (exponent(b), mantissa(b));
    let mut rest = mantissa(a) % divisor;
    // Nothing below overflows. That it can't isn't tested each time, since it is `wrapping`.
    let mut left = exponent(a).wrapping_sub(power);
    // As many bits at a time as there is room for above a mantissa.
    while left > 0 && rest != 0 {
        let bits = if left < 11 { left } else { 11 };
        rest = rest.wrapping_shl(bits) % divisor;
        left = left.wrapping_sub(bits);
    }
    if rest == 0 {
        return f64::from_bits(sign);
    }
    // How far its first bit is below where it belongs, as far as the power lets it go up.
    let up = rest.leading_zeros().wrapping_sub(11);
    let bits = match up < power {
        true => rest.wrapping_shl(up) & (ONE - 1) | u64::from(power.wrapping_sub(up)) << 52,
        false => rest.wrapping_shl(power.wrapping_sub(1)),
    };
    f64::from_bits(bits | sign)
}

/// As [`px_rem_f64`], which gives the exact remainder, and that is an `f32`.
#[unsafe(no_mangle)]
pub extern "C" fn px_rem_f32(x: f32, y: f32) -> f32 {
    px_rem_f64(x as f64, y as f64) as f32
}
