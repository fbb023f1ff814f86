//! The worker's side: gives items to the process that has the GPU.

use super::{FromGpu, SOCKET, ToGpu, native};
use crate::wire;
use chorus_gpu::devices::{Argument, Launch, Stretch};
use chorus_gpu::native::is_library;
use chorus_system::memory;
use px::host::GpuCall;
use px::link::{self, GpuAnswer, GpuAsk, GpuTimes, Kept, LaunchArgument, Message as _};
use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, IntoRawFd as _};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

/// A connection, and what the other side has.
struct Client {
    stream: UnixStream,
    /// What was loaded: the code and the constants.
    loaded: Option<(Vec<u8>, Vec<u8>)>,
    file: File,
    /// How long it is.
    bytes: u64,
}

/// In a worker that was restored from a snapshot, nobody is at its other end.
static CLIENT: Mutex<Option<Client>> = Mutex::new(None);

/// See [`px::host::Host::gpu`].
pub extern "C" fn run(call: &GpuCall, answered: extern "C" fn(*mut c_void, *const u8, usize), context: *mut c_void) {
    // SAFETY: px passes a call whose pointers are valid until this returns, and nobody else has its room for output.
    let mut asked = unsafe {
        Asked {
            module: call.module.get(),
            constants: call.constants.get(),
            input: call.input.get(),
            output: std::slice::from_raw_parts_mut(call.output, call.output_bytes),
        }
    };
    // SAFETY: as above.
    let answer = match GpuAsk::decode(unsafe { call.ask.get() }) {
        Ok(GpuAsk::Run { count, items: None, results: None }) if is_library(asked.module) => {
            native::run(count, &mut asked)
        }
        Ok(what) => ask(&what, &mut asked),
        Err(damaged) => GpuAnswer::Failed(damaged.to_string()),
    };
    let bytes = answer.encode();
    answered(context, bytes.as_ptr(), bytes.len());
}

/// What comes with a question.
pub(super) struct Asked<'a> {
    pub module: &'a [u8],
    pub constants: &'a [u8],
    pub input: &'a [u8],
    /// Bytes that may be padding, which nobody reads.
    pub output: &'a mut [u8],
}

fn ask(what: &GpuAsk, asked: &mut Asked<'_>) -> GpuAnswer {
    let mut client = CLIENT.lock().unwrap_or_else(PoisonError::into_inner);
    let mut attempt = || -> io::Result<GpuAnswer> {
        let mut mine = match client.take() {
            Some(mine) => mine,
            None => Client::connect()?,
        };
        let answer = mine.ask(what, asked)?;
        *client = Some(mine);
        Ok(answer)
    };
    // A snapshot's connection is no longer there.
    let answer = attempt().or_else(|_| attempt());
    answer.unwrap_or_else(|error| GpuAnswer::Failed(format!("{error}; nothing was done in its place")))
}

/// Makes an answer of one that isn't what was expected, if it is one that any question may have.
fn other(answer: FromGpu) -> io::Result<GpuAnswer> {
    match answer {
        FromGpu::Memory { wanted, free } => Ok(GpuAnswer::Memory { wanted, free }),
        FromGpu::Failed(why) => Ok(GpuAnswer::Failed(why)),
        FromGpu::Loaded | FromGpu::Done { .. } | FromGpu::Kept(_) | FromGpu::About(_) => {
            Err(io::ErrorKind::InvalidData.into())
        }
    }
}

/// How a process opens what this one has open.
fn path(file: &File) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())
}

fn stretch(Kept { buffer, offset, bytes }: Kept) -> Stretch {
    Stretch { buffer, offset, bytes }
}

fn launch(launch: &link::Launch) -> Launch {
    let argument = |argument: &LaunchArgument| match *argument {
        LaunchArgument::Value(value) => Argument::Value(value),
        LaunchArgument::Kept(buffer) => Argument::Kept(buffer),
    };
    let &link::Launch { ref kernel, blocks, threads, shared, ref arguments } = launch;
    Launch { kernel: kernel.clone(), blocks, threads, shared, arguments: arguments.iter().map(argument).collect() }
}

impl Client {
    fn connect() -> io::Result<Client> {
        let Some(socket) = std::env::var_os(SOCKET) else {
            let missing = chorus_gpu::devices::Missing::here();
            return Err(io::Error::other(format!(
                "an engine has its host's GPU, and the notebook itself none: what needs one belongs into a `%%px` cell; \
                 {missing}"
            )));
        };
        let lost = |error| io::Error::other(format!("the engine's process for its GPU doesn't answer: {error}"));
        let stream = UnixStream::connect(socket).map_err(lost)?;
        Ok(Client { stream, loaded: None, file: memory::file("chorus-gpu", 0)?, bytes: 0 })
    }

    fn ask(&mut self, what: &GpuAsk, asked: &mut Asked<'_>) -> io::Result<GpuAnswer> {
        match what {
            GpuAsk::Run { count, items, results } => self.run(*count, *items, *results, asked),
            GpuAsk::Keep(bytes) => self.keep(*bytes),
            GpuAsk::Write(kept) => {
                self.share(asked.input, asked.input.len() as u64)?;
                self.done(&ToGpu::Write { file: path(&self.file), to: stretch(*kept) })
            }
            GpuAsk::Read(kept) => {
                self.share(&[], asked.output.len() as u64)?;
                let answer = self.done(&ToGpu::Read { file: path(&self.file), from: stretch(*kept) })?;
                if let GpuAnswer::Done { .. } = answer {
                    self.file.read_exact_at(asked.output, 0)?;
                }
                Ok(answer)
            }
            GpuAsk::Launch(what) => match self.load(asked.module, asked.constants)? {
                Some(refused) => Ok(refused),
                None => self.done(&ToGpu::Launch(launch(what))),
            },
            GpuAsk::Copy(from, to) => self.done(&ToGpu::Copy { from: stretch(*from), to: stretch(*to) }),
        }
    }

    fn tell(&mut self, what: &ToGpu) -> io::Result<FromGpu> {
        wire::write(&mut self.stream, what)?;
        wire::read(&mut self.stream)
    }

    /// Asks for what is merely done.
    fn done(&mut self, what: &ToGpu) -> io::Result<GpuAnswer> {
        match self.tell(what)? {
            FromGpu::Done { .. } => Ok(GpuAnswer::Done { items: 0, times: GpuTimes::default() }),
            answer => other(answer),
        }
    }

    /// Puts bytes at the beginning of the file, and has room for so many in all.
    fn share(&mut self, bytes: &[u8], room: u64) -> io::Result<()> {
        if self.bytes < room {
            self.bytes = room;
            self.file.set_len(self.bytes)?;
        }
        self.file.write_all_at(bytes, 0)
    }

    /// The buffer is there as long as a process has its file open: the lock is gone with the last one.
    fn keep(&mut self, bytes: u64) -> io::Result<GpuAnswer> {
        let holder = memory::file("chorus-gpu-kept", 0)?;
        holder.lock_shared()?;
        match self.tell(&ToGpu::Keep { bytes, holder: path(&holder) })? {
            FromGpu::Kept(buffer) => Ok(GpuAnswer::Kept(buffer, holder.into_raw_fd())),
            answer => other(answer),
        }
    }

    /// Has this code loaded, with these constants, if it isn't. An answer says why it can't be.
    fn load(&mut self, module: &[u8], constants: &[u8]) -> io::Result<Option<GpuAnswer>> {
        if self.loaded.as_ref().is_some_and(|(code, values)| (&code[..], &values[..]) == (module, constants)) {
            return Ok(None);
        }
        self.loaded = None;
        let (ptx, values) = (module.len() as u64, constants.len() as u64);
        self.share(module, ptx + values)?;
        self.file.write_all_at(constants, ptx)?;
        match self.tell(&ToGpu::Load { file: path(&self.file), ptx, constants: values })? {
            FromGpu::Loaded => self.loaded = Some((module.to_vec(), constants.to_vec())),
            answer => return other(answer).map(Some),
        }
        Ok(None)
    }

    fn run(
        &mut self,
        count: u64,
        items: Option<Kept>,
        results: Option<Kept>,
        Asked { module, constants, input, output }: &mut Asked<'_>,
    ) -> io::Result<GpuAnswer> {
        if let Some(refused) = self.load(module, constants)? {
            return Ok(refused);
        }
        let (item_bytes, result_bytes) = (input.len() as u64, output.len() as u64);
        self.share(input, item_bytes + result_bytes)?;
        let run = ToGpu::Run {
            file: path(&self.file),
            item_bytes,
            result_bytes,
            items: items.map(stretch),
            results: results.map(stretch),
            count,
        };
        match self.tell(&run)? {
            FromGpu::Done { items, transfer, kernel } if items <= count => {
                self.file.read_exact_at(output, item_bytes)?;
                Ok(GpuAnswer::Done { items, times: GpuTimes { transfer, kernel } })
            }
            answer => other(answer),
        }
    }
}
