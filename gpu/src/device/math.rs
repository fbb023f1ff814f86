// Floats' mathematics, for crates that use it: it stands in the module of the prelude, behind it. std leaves these methods
// to the platform, whose results have other bits on each; these are the crate libm's, whose results have the same bits
// everywhere.

/// The methods of floats that std leaves to the platform's mathematics.
pub trait Mathematics: Sized {
    fn sin(self) -> Self;
    fn cos(self) -> Self;
    fn tan(self) -> Self;
    fn asin(self) -> Self;
    fn acos(self) -> Self;
    fn atan(self) -> Self;
    fn sinh(self) -> Self;
    fn cosh(self) -> Self;
    fn tanh(self) -> Self;
    fn asinh(self) -> Self;
    fn acosh(self) -> Self;
    fn atanh(self) -> Self;
    fn exp(self) -> Self;
    fn exp2(self) -> Self;
    fn cbrt(self) -> Self;
    fn exp_m1(self) -> Self;
    fn ln(self) -> Self;
    fn ln_1p(self) -> Self;
    fn log2(self) -> Self;
    fn log10(self) -> Self;
    fn sin_cos(self) -> (Self, Self);
    fn atan2(self, other: Self) -> Self;
    fn hypot(self, other: Self) -> Self;
    fn powf(self, n: Self) -> Self;
    fn log(self, base: Self) -> Self;
}

macro_rules! mathematics {
    ($type:ident: $($method:ident $function:ident)*; $sincos:ident $atan2:ident $hypot:ident $pow:ident $log:ident) => {
        impl Mathematics for $type {
            $(
                #[inline]
                fn $method(self) -> $type {
                    px_libm::$function(self)
                }
            )*
            #[inline]
            fn sin_cos(self) -> ($type, $type) {
                px_libm::$sincos(self)
            }
            #[inline]
            fn atan2(self, other: $type) -> $type {
                px_libm::$atan2(self, other)
            }
            #[inline]
            fn hypot(self, other: $type) -> $type {
                px_libm::$hypot(self, other)
            }
            #[inline]
            fn powf(self, n: $type) -> $type {
                px_libm::$pow(self, n)
            }
            #[inline]
            fn log(self, base: $type) -> $type {
                px_libm::$log(self) / px_libm::$log(base)
            }
        }
    };
}

mathematics! { f32:
    sin sinf cos cosf tan tanf asin asinf acos acosf atan atanf sinh sinhf cosh coshf tanh tanhf asinh asinhf
    acosh acoshf atanh atanhf exp expf exp2 exp2f cbrt cbrtf exp_m1 expm1f ln logf ln_1p log1pf log2 log2f log10
    log10f;
    sincosf atan2f hypotf powf logf
}
mathematics! { f64:
    sin sin cos cos tan tan asin asin acos acos atan atan sinh sinh cosh cosh tanh tanh asinh asinh acosh acosh
    atanh atanh exp exp exp2 exp2 cbrt cbrt exp_m1 expm1 ln log ln_1p log1p log2 log2 log10 log10;
    sincos atan2 hypot pow log
}
