//! Maps in one process: [`host`] stands for the kernel, the controller and the engines.

mod builder;
mod gpu;
mod halves;
pub(crate) mod host;
mod late;
mod reduce;
mod results;
mod sources;
