//! The worker's side: gives items to the process that has the GPU.

use super::{FromGpu, SOCKET, ToGpu, native};
use crate::wire;
use chorus_gpu::native::is_library;
use chorus_system::memory;
use px::host::GpuCall;
use px::link::{GpuAnswer, Message as _};
use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
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
    // SAFETY: px passes a call whose pointers are valid until this returns.
    let answer = match unsafe { Items::of(call) } {
        Some(items) if is_library(items.ptx) => native::run(&items),
        Some(items) => ask(items),
        None => GpuAnswer::Failed("the items of this map take more bytes than there can be".to_owned()),
    };
    let bytes = answer.encode();
    answered(context, bytes.as_ptr(), bytes.len());
}

/// A call, as slices.
pub(super) struct Items<'a> {
    pub ptx: &'a [u8],
    pub constants: &'a [u8],
    pub items: &'a [u8],
    pub results: *mut u8,
    result_bytes: usize,
    pub count: u64,
}

impl<'a> Items<'a> {
    /// # Safety
    ///
    /// The call's pointers must be valid, for as much as it says, as long as this lives.
    unsafe fn of(call: &'a GpuCall) -> Option<Items<'a>> {
        let item_bytes = call.item_size.checked_mul(call.count)?;
        let result_bytes = call.result_size.checked_mul(call.count)?;
        // SAFETY: the caller says so. Items are bytes to whoever works at them, padding as well.
        unsafe {
            Some(Items {
                ptx: std::slice::from_raw_parts(call.module, call.module_bytes),
                constants: std::slice::from_raw_parts(call.constants, call.constants_bytes),
                items: std::slice::from_raw_parts(call.items, item_bytes),
                results: call.results,
                result_bytes,
                count: call.count as u64,
            })
        }
    }
}

fn ask(mut items: Items<'_>) -> GpuAnswer {
    let mut client = CLIENT.lock().unwrap_or_else(PoisonError::into_inner);
    let mut attempt = || -> io::Result<GpuAnswer> {
        let mut mine = match client.take() {
            Some(mine) => mine,
            None => Client::connect()?,
        };
        let answer = mine.run(&mut items)?;
        *client = Some(mine);
        Ok(answer)
    };
    // A snapshot's connection is no longer there.
    let answer = attempt().or_else(|_| attempt());
    answer.unwrap_or_else(|error| GpuAnswer::Failed(format!("{error}; nothing ran on the CPU in its place")))
}

impl Client {
    fn connect() -> io::Result<Client> {
        let Some(socket) = std::env::var_os(SOCKET) else {
            return Err(io::Error::other(chorus_gpu::devices::Missing::here().to_string()));
        };
        let lost = |error| io::Error::other(format!("the engine's process for its GPU doesn't answer: {error}"));
        let stream = UnixStream::connect(socket).map_err(lost)?;
        Ok(Client { stream, loaded: None, file: memory::file("chorus-gpu", 0)?, bytes: 0 })
    }

    fn run(&mut self, items: &mut Items<'_>) -> io::Result<GpuAnswer> {
        let (ptx, constants) = (items.ptx, items.constants);
        if self.loaded.as_ref().is_none_or(|(code, values)| (&code[..], &values[..]) != (ptx, constants)) {
            self.loaded = None;
            wire::write(&mut self.stream, &ToGpu::Load { ptx: ptx.to_vec(), constants: constants.to_vec() })?;
            match wire::read(&mut self.stream)? {
                FromGpu::Loaded => self.loaded = Some((ptx.to_vec(), constants.to_vec())),
                FromGpu::Failed(why) => return Ok(GpuAnswer::Failed(why)),
                FromGpu::Done(_) | FromGpu::About(_) => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
        let (item_bytes, result_bytes) = (items.items.len() as u64, items.result_bytes as u64);
        if self.bytes < item_bytes + result_bytes {
            self.bytes = item_bytes + result_bytes;
            self.file.set_len(self.bytes)?;
        }
        self.file.write_all_at(items.items, 0)?;
        let file = format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd());
        let run = ToGpu::Run { file, items: item_bytes, results: result_bytes, count: items.count };
        wire::write(&mut self.stream, &run)?;
        match wire::read(&mut self.stream)? {
            FromGpu::Done(done) if done <= items.count => {
                // SAFETY: px has reserved so many bytes for the results, which nobody else has.
                let results = unsafe { std::slice::from_raw_parts_mut(items.results, items.result_bytes) };
                self.file.read_exact_at(results, item_bytes)?;
                Ok(GpuAnswer::Done(done))
            }
            FromGpu::Failed(why) => Ok(GpuAnswer::Failed(why)),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
