// The text of the library in which processors run what GPUs would: see `native.rs`. It stands for what a GPU has in
// instructions, and has the loop over items.

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::Once;

extern crate px_device;

unsafe extern "C-unwind" {
    fn px_item(index: u64, args: *const u8);
}

static QUIET: Once = Once::new();

/// Calls the function with so many items, up to the first one that fails. Returns how many have results. Whoever wants to
/// know why it fails has other means, so nothing is said here.
///
/// # Safety
/// `args` are those of the function, with so many items and room for as many results.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn px_run(args: *const u8, count: u64) -> u64 {
    QUIET.call_once(|| set_hook(Box::new(|_| {})));
    let mut done = 0;
    let all = || {
        while done < count {
            // SAFETY: the caller says that this item is there.
            unsafe { px_item(done, args) };
            done += 1;
        }
    };
    // A payload's own end is nobody's business here: it may panic, too.
    if let Err(payload) = catch_unwind(AssertUnwindSafe(all)) {
        std::mem::forget(payload);
    }
    done
}

macro_rules! instructions {
    ($($name:ident $method:ident $type:ident $($more:ident)*;)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name(x: $type $(, $more: $type)*) -> $type {
            x.$method($($more),*)
        }
    )*};
}

instructions! {
    px_sqrt_f32 sqrt f32;
    px_sqrt_f64 sqrt f64;
    px_fma_f32 mul_add f32 y z;
    px_fma_f64 mul_add f64 y z;
    px_floor_f32 floor f32;
    px_floor_f64 floor f64;
    px_ceil_f32 ceil f32;
    px_ceil_f64 ceil f64;
    px_trunc_f32 trunc f32;
    px_trunc_f64 trunc f64;
    px_rint_f32 round_ties_even f32;
    px_rint_f64 round_ties_even f64;
}
