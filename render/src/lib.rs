//! Rendering: from the events of runs to the outputs of a notebook.
//!
//! [`PxView`] shows a parallel cell, [`LocalView`] one of the notebook's own worker, and [`PxRecord`] keeps what a
//! parallel cell put out. Everything here is a pure function of events: it never reads a clock, a socket or a file, and
//! the bytes that a user's program prints never make it panic.

mod bars;
mod building;
mod elide;
mod failure;
mod fold;
mod gpus;
mod graph;
mod legible;
mod lines;
mod local;
mod magics;
mod map;
mod output;
mod progress;
mod record;
mod run;
mod sparkline;
pub mod status;
mod stream;
mod table;
mod tasks;
#[cfg(test)]
mod tests;
mod time;
mod utf8;
mod view;

pub use bars::Bars;
pub use building::{BuildEnd, BuildView, compiling};
pub use failure::{
    ErrorText, Panicked, PxFailure, RESTORED, RunFailure, STILL_DEFINED, as_event, at_place, no_snapshot, unprotected,
};
pub use gpus::{Gpu, HasGpu, gpus};
pub use graph::{GraphTask, task_graph};
pub use legible::legible;
pub use local::LocalView;
pub use magics::{help, magics};
pub use map::{EngineState, MapEnd, MapView};
pub use output::{Bundle, Output, bundle, html_bundle, plain_bundle, stream_name};
pub use record::{PxRecord, RECORD_LIMIT};
pub use run::{Place, Source, late};
pub use stream::task_stream;
pub use table::{html_table, text_table};
pub use tasks::{TaskLine, TaskState, tasks};
pub use time::{data_size, duration, measured};
pub use utf8::Utf8Decoder;
pub use view::{PxView, ViewOptions, announce};
