//! What users read of rustc and evcxr: in their own terms, at places of their own text, with what to do next.

pub(crate) mod advice;
pub(crate) mod backtrace;
pub(crate) mod complaint;
pub(crate) mod diagnostic;
pub(crate) mod failure;
pub(crate) mod habits;
pub(crate) mod slips;
pub(crate) mod source_map;
pub(crate) mod unkept;
pub(crate) mod unused;
pub(crate) mod wording;
