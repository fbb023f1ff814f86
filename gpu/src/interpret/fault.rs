//! Why a module isn't taken, or a launch ended early.

/// Why a module isn't taken, or a launch ended early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The text isn't PTX.
    #[error("line {line} of the PTX can't be read: {text}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        text: String,
    },
    /// PTX that the simulated device doesn't know.
    #[error("the simulated device doesn't know `{instruction}`")]
    Unsupported {
        /// As it is written.
        instruction: String,
    },
    /// Threads that run one after the other can't wait for each other.
    #[error(
        "the simulated device runs threads one after the other, so those of a block can't wait for each other, as \
         `__syncthreads()` has them do"
    )]
    Barrier,
    /// An allocation that doesn't fit.
    #[error("the device has no room for {bytes} more bytes: {free} are free")]
    OutOfMemory {
        /// What was asked for.
        bytes: u64,
        /// What there is.
        free: u64,
    },
    /// An access to what isn't memory, or not of that kind.
    #[error("access to {bytes} bytes at {address:#x}, where there is no such memory")]
    BadAddress {
        /// The first byte's.
        address: u64,
        /// How many.
        bytes: u64,
    },
    /// An access at an address that isn't a multiple of its size.
    #[error("access to {bytes} bytes at {address:#x}, which isn't a multiple of that")]
    Misaligned {
        /// The first byte's.
        address: u64,
        /// How many.
        bytes: u64,
    },
    /// The code said that it can't go on.
    #[error("the code ran into a trap")]
    Trap,
    /// It was told to stop.
    #[error("the launch was stopped")]
    Stopped,
    /// Nothing of that name can be started.
    #[error("the module has no function `{0}` that can be called like this")]
    NoEntry(String),
    /// The arguments aren't what a function takes.
    #[error("`{function}` is called with other arguments than it takes")]
    BadCall {
        /// The one that is called.
        function: String,
    },
    /// More calls in calls, or larger variables, than a thread has room for.
    #[error("calls are nested too deep for the stack of a thread")]
    TooDeep,
}
