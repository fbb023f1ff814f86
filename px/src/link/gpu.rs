//! What a worker and the process that has its engine's GPU say to each other over [`crate::host::Host::gpu`].

use super::encoding::{Damaged, Message, read_all, write_all};

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

impl Message for GpuAsk {
    fn write(&self, to: &mut Vec<u8>) {
        match self {
            GpuAsk::Run { count, items, results } => {
                (0u8, *count).write(to);
                items.write(to);
                results.write(to);
            }
            GpuAsk::Keep(bytes) => (1u8, *bytes).write(to),
            GpuAsk::Write(kept) => {
                2u8.write(to);
                kept.write(to);
            }
            GpuAsk::Read(kept) => {
                3u8.write(to);
                kept.write(to);
            }
            GpuAsk::Copy(from, target) => {
                4u8.write(to);
                from.write(to);
                target.write(to);
            }
            GpuAsk::Launch(launch) => {
                5u8.write(to);
                launch.write(to);
            }
        }
    }

    fn read(from: &mut &[u8]) -> Result<GpuAsk, Damaged> {
        Ok(match u8::read(from)? {
            0 => GpuAsk::Run { count: u64::read(from)?, items: Option::read(from)?, results: Option::read(from)? },
            1 => GpuAsk::Keep(u64::read(from)?),
            2 => GpuAsk::Write(Kept::read(from)?),
            3 => GpuAsk::Read(Kept::read(from)?),
            4 => GpuAsk::Copy(Kept::read(from)?, Kept::read(from)?),
            5 => GpuAsk::Launch(Launch::read(from)?),
            _ => return Err(Damaged),
        })
    }
}

impl Message for Launch {
    fn write(&self, to: &mut Vec<u8>) {
        self.kernel.write(to);
        [self.blocks, self.threads].as_flattened().iter().for_each(|number| number.write(to));
        self.shared.write(to);
        write_all(&self.arguments, to);
    }

    fn read(from: &mut &[u8]) -> Result<Launch, Damaged> {
        let kernel = String::read(from)?;
        let mut three = || Ok([u32::read(from)?, u32::read(from)?, u32::read(from)?]);
        let (blocks, threads) = (three()?, three()?);
        Ok(Launch { kernel, blocks, threads, shared: u32::read(from)?, arguments: read_all(from)? })
    }
}

impl Message for LaunchArgument {
    fn write(&self, to: &mut Vec<u8>) {
        match self {
            LaunchArgument::Value(value) => (0u8, *value).write(to),
            LaunchArgument::Kept(buffer) => (1u8, *buffer).write(to),
        }
    }

    fn read(from: &mut &[u8]) -> Result<LaunchArgument, Damaged> {
        Ok(match u8::read(from)? {
            0 => LaunchArgument::Value(u64::read(from)?),
            1 => LaunchArgument::Kept(u64::read(from)?),
            _ => return Err(Damaged),
        })
    }
}

impl Message for Kept {
    fn write(&self, to: &mut Vec<u8>) {
        [self.buffer, self.offset, self.bytes].iter().for_each(|number| number.write(to));
    }

    fn read(from: &mut &[u8]) -> Result<Kept, Damaged> {
        Ok(Kept { buffer: u64::read(from)?, offset: u64::read(from)?, bytes: u64::read(from)? })
    }
}

impl Message for GpuTimes {
    fn write(&self, to: &mut Vec<u8>) {
        self.transfer.write(to);
        self.kernel.write(to);
    }

    fn read(from: &mut &[u8]) -> Result<GpuTimes, Damaged> {
        Ok(GpuTimes { transfer: u64::read(from)?, kernel: u64::read(from)? })
    }
}

impl Message for GpuAnswer {
    fn write(&self, to: &mut Vec<u8>) {
        match self {
            GpuAnswer::Done { items, times } => {
                (0u8, *items).write(to);
                times.write(to);
            }
            GpuAnswer::Failed(sentence) => {
                1u8.write(to);
                sentence.write(to);
            }
            GpuAnswer::Kept(buffer, file) => {
                (2u8, *buffer).write(to);
                file.write(to);
            }
            GpuAnswer::Memory { wanted, free } => {
                (3u8, *wanted).write(to);
                free.write(to);
            }
        }
    }

    fn read(from: &mut &[u8]) -> Result<GpuAnswer, Damaged> {
        Ok(match u8::read(from)? {
            0 => GpuAnswer::Done { items: u64::read(from)?, times: GpuTimes::read(from)? },
            1 => GpuAnswer::Failed(String::read(from)?),
            2 => GpuAnswer::Kept(u64::read(from)?, i32::read(from)?),
            3 => GpuAnswer::Memory { wanted: u64::read(from)?, free: u64::read(from)? },
            _ => return Err(Damaged),
        })
    }
}
