//! A cluster's past, as its log tells it: recordings in files, figures of the last minutes, and diagnoses.
//!
//! It reads and writes recordings, and reads what engines write to their log files. It never talks to a cluster, and reads no clock. All times are the
//! log's.

mod diagnosis;
mod figures;
mod held;
pub mod recording;
mod stream;
mod tail;
mod text;

pub use diagnosis::{About, Diagnosis, diagnose};
pub use figures::{
    EndedMap, EndedRun, EngineFigures, Figures, MapFailure, SECONDS, Series, Share, cpu, memory, snapshots, waiting,
};
pub use held::{Held, HeldKind, held};
pub use stream::{Bar, BarKind, Stream};
pub use tail::Tails;
pub use text::{SHORT, one_line};
