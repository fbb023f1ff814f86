// The text of the module `chorus_gpu` of each crate that is compiled for a GPU. Such a crate is
//
//     #![no_std]
//     #[macro_use]
//     extern crate core as std;
//     mod chorus_gpu { THIS TEXT }
//     #[allow(unused_imports)]
//     use chorus_gpu::{Float as _, Vec, px};
//     THE USER'S DEFINITIONS
//     #[inline(always)]
//     fn px_both(call: chorus_gpu::Call) {
//         call.run(
//             |(xs,): (Vec<f64>,)| chorus_gpu::over!(&xs),
//             |(k,): (f64,), px_items| px_items.map(|x| x * k),
//         )
//     }
//     chorus_gpu::functions!(px_both);
//
// The first closure tells the items' type and never runs. The second one has the types of the variables that the
// user's function names. Both take variables by value, in the order of the table of constants.
//
// There are no `//!` here, since the text stands in the middle of a module.

use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, Range, RangeFrom, RangeInclusive};

/// Where the items are, where their results go, and where the variables are.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Args {
    items: *const u8,
    results: *mut u8,
    constants: *const Constant,
}

/// A variable of the notebook.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Constant {
    start: *const u8,
    /// How many elements there are; 1 if it isn't a `Vec`.
    length: u64,
}

#[cfg(target_arch = "nvptx64")]
#[panic_handler]
fn failed(_: &core::panic::PanicInfo<'_>) -> ! {
    px_fail()
}

#[cfg(target_arch = "nvptx64")]
unsafe extern "C" {
    safe fn px_fail() -> !;
}
