//! What a worker and the process that has its engine's GPU say to each other over [`crate::host::Host::gpu`].

use super::encoding::{Damaged, Message, fields, variants};

/// What the process that has an engine's GPU is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GpuAsk {
    /// Work at so many items. Items that aren't kept come along, and results that aren't go back.
    Run {
        /// How many.
        count: u64,
        /// Where they are kept, if they are.
        items: Option<Kept>,
        /// Where the results are to be kept, if they are.
        results: Option<Kept>,
    },
    /// A buffer of so many bytes.
    Keep(u64),
    /// Put what comes along there.
    Write(Kept),
    /// Bring what is there.
    Read(Kept),
    /// Copy the one to the other.
    Copy(Kept, Kept),
    /// Run a kernel of CUDA C++ of the module that comes along, to its end.
    Launch(Launch),
}

/// A launch of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The kernel's name.
    pub kernel: String,
    /// Blocks along x, y and z.
    pub blocks: [u32; 3],
    /// Threads of a block along x, y and z.
    pub threads: [u32; 3],
    /// Bytes of shared memory that each block has besides what the kernel itself says.
    pub shared: u32,
    /// In their order.
    pub arguments: Vec<LaunchArgument>,
}

/// What a kernel is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaunchArgument {
    /// A number, in its lowest bytes.
    Value(u64),
    /// Where the buffer of this number begins.
    Kept(u64),
}

/// Bytes in the memory of a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The number of the buffer; the engine never gives it to another one.
    pub buffer: u64,
    /// Where in it they begin.
    pub offset: u64,
    /// How many.
    pub bytes: u64,
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GpuAnswer {
    /// It is done.
    Done {
        /// So many of the first items have results. When these aren't all, the next one fails.
        items: u64,
        /// How long it took.
        times: GpuTimes,
    },
    /// The buffer of this number is there as long as any process has this file open. It is the asker's.
    Kept(u64, i32),
    /// The GPU hasn't so much memory. Nothing was done.
    Memory {
        /// Bytes that it should have had.
        wanted: u64,
        /// Bytes that it has.
        free: u64,
    },
    /// Nothing was done. The sentence is for users.
    Failed(String),
}

/// What a GPU spent its time on, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GpuTimes {
    /// Items and results were on their way, and the function didn't run.
    pub transfer: u64,
    /// The function ran.
    pub kernel: u64,
}

impl GpuTimes {
    /// Of more.
    pub fn add(&mut self, more: GpuTimes) {
        self.transfer = self.transfer.saturating_add(more.transfer);
        self.kernel = self.kernel.saturating_add(more.kernel);
    }
}

variants!(GpuAsk {
    0 => GpuAsk::Run { count, items, results },
    1 => GpuAsk::Keep(bytes),
    2 => GpuAsk::Write(kept),
    3 => GpuAsk::Read(kept),
    4 => GpuAsk::Copy(source, target),
    5 => GpuAsk::Launch(launch),
});
variants!(GpuAnswer {
    0 => GpuAnswer::Done { items, times },
    1 => GpuAnswer::Failed(sentence),
    2 => GpuAnswer::Kept(buffer, file),
    3 => GpuAnswer::Memory { wanted, free },
});
variants!(LaunchArgument {
    0 => LaunchArgument::Value(value),
    1 => LaunchArgument::Kept(buffer),
});
fields!(Launch { kernel, blocks, threads, shared, arguments });
fields!(Kept { buffer, offset, bytes });
fields!(GpuTimes { transfer, kernel });
