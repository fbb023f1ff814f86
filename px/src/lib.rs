//! What cells see of Chorus: [`rank`], [`size`] and what engines do together ([`group`]), [`display`](display()), [`progress`],
//! [`timeit`]; and what `%map` is made of, [`mod@map`].
//!
//! ```
//! px::display(px::Html("<b>bold</b>"));
//! let shown = px::Display::new("loading");
//! for n in px::progress(0..100).label("files") {
//!     shown.update(n);
//! }
//! ```
//!
//! This crate is linked statically into each cell's object. The worker that loads the object hands it a [`host::Host`]
//! through `chorus_px_attach`, and calls `chorus_px_flush` when the cell returns. Each object has its own copy of this
//! crate's statics; libstd, and with it stdout and the panic hook, is one for all objects of a worker.
//!
//! It never talks to the outside but through [`host::Host`], the rooms that this names, and stdout, where the worker's supervisor recognises
//! evcxr's content protocol and the few lines that [`Display`] puts around it.

// For cells that say `extern crate alloc;` or the like.
#[doc(hidden)]
pub extern crate alloc;
#[doc(hidden)]
pub use {::core, ::std};

#[doc(hidden)]
pub mod apart;
mod base64;
#[doc(hidden)]
pub mod data;
#[doc(hidden)]
pub mod debug;
mod display;
pub mod engines;
#[doc(hidden)]
pub mod everyday;
mod gpu_vec;
pub mod group;
pub mod host;
#[doc(hidden)]
pub mod kernel;
#[doc(hidden)]
pub mod key;
#[doc(hidden)]
pub mod lazy;
pub mod link;
pub mod map;
#[doc(hidden)]
pub mod progress;
#[doc(hidden)]
pub mod question;
#[doc(hidden)]
pub mod rows;
mod show;
#[doc(hidden)]
pub mod store;
mod sys;
mod table;
pub mod task;
mod timeit;
mod tree;
pub mod wire;

pub use display::{
    Bundle, Display, Displayable, Html, Jpeg, Json, Latex, Markdown, OneDisplay, Png, Svg, Text, clear_output, display,
};
pub use engines::{Each, Engines, engines};
pub use everyday::Captured;
pub use gpu_vec::GpuVec;
pub use group::{
    allgather, allreduce, alltoall, barrier, broadcast, gather, max, min, product, recv, recv_any, reduce, scan,
    scatter, send, sum,
};
pub use kernel::Grid;
pub use progress::{Progress, progress};
#[doc(hidden)]
pub use show::Last;
pub use show::{Full, Show, full, pretty, text, typed};
pub use table::Table;
pub use task::{Ref, Task, put};
pub use timeit::timeit;

pub use link::OnError;
pub use map::builder::{Map, map, map_with};
pub use map::stream::Stream;
pub use map::{Error, Handle};
pub use wire::Wire;

/// `std::thread_local!` in the cells' own code.
#[doc(hidden)]
pub mod shared_std {
    pub use crate::shared_thread_local as thread_local;
}

/// `lazy_static::lazy_static!` there.
#[doc(hidden)]
pub mod shared_lazy_static {
    pub use crate::shared_lazy_static as lazy_static;
}

/// As in a cell's object, for the tests of [`dbg!`].
#[cfg(test)]
const CHORUS_PLACES: &[debug::Row] = &[];

use host::host;
use std::sync::atomic::Ordering;

/// This engine's place in its [`group`], from 0: the engines that the cell runs on, or those that `px::engines()` has call the
/// function. In functions of `%map` and `px::call!` it is the place among the cluster's engines, and in the notebook's own worker 0.
pub fn rank() -> usize {
    host().map_or(0, |host| host.rank.load(Ordering::Relaxed) as usize)
}

/// The number of engines in the [`group`]. In functions of `%map` and `px::call!` it is that of the cluster's engines, and in the
/// notebook's own worker 1.
pub fn size() -> usize {
    host().map_or(1, |host| host.size.load(Ordering::Relaxed) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_host_there_is_one_process() {
        assert_eq!((rank(), size()), (0, 1));
    }
}
