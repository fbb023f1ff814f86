//! A GPU of NVIDIA's, through its driver.

mod about;

use super::{
    About, Buffers, Constant, Device, ENTRY, FAILED, Failed, Items, Launch, Ran, Results, Stretch, Value, Work,
};
use about::AboutCuda;
use cudarc::driver::{
    CudaContext, CudaFunction, CudaModule, CudaSlice, CudaStream, DevicePtr, DriverError, LaunchConfig, PushKernelArg,
    result, sys,
};
use cudarc::nvrtc::Ptx;
use lane::{Lane, Memory};
use pace::Pace;
use pipeline::{Lanes, Part};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

mod kernel;
mod lane;
mod pace;
mod pipeline;

/// Threads that a GPU starts together; the code counts on nothing else.
const BLOCK: u32 = 256;
/// So many bytes of items or results go at once.
const PART: u64 = 8 << 20;
/// Where the driver is looked for, by the system's rules for libraries.
const DRIVER: &str = "libcuda.so.1";

/// Why there is no GPU to be used. The sentence is for users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(String);

impl Missing {
    /// Of this machine, where [`is_there`] says no.
    pub fn here() -> Missing {
        Missing("there is no GPU that Chorus can use".to_owned())
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
        let looked = if path.is_empty() { String::new() } else { format!(", and in {path}") };
        write!(
            f,
            "{}: NVIDIA's driver, {DRIVER}, was looked for where the system has its libraries{looked}. `%map` without \
             `--gpu` uses the processors, and `--gpu=auto` does where there is no GPU",
            self.0
        )
    }
}

/// Whether there are a driver and, as far as files tell, a GPU: a driver alone is in many containers.
pub fn is_there() -> bool {
    let is_gpu =
        |name: &str| name == "dxg" || name.strip_prefix("nvidia").is_some_and(|rest| rest.parse::<u32>().is_ok());
    let mut files = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    // SAFETY: it loads the driver, which is what everything here does.
    files.any(|file| file.file_name().to_str().is_some_and(is_gpu))
        && unsafe { cudarc::driver::sys::is_culib_present() }
}

/// A GPU. Its context is this process's.
pub struct Cuda {
    context: Arc<CudaContext>,
    streams: Streams,
    lanes: Vec<Lane>,
    about: Arc<AboutCuda>,
    loaded: Option<Loaded>,
    /// Of what is loaded.
    pace: Pace,
    kept: Buffers<CudaSlice<u8>>,
    /// The kernels of CUDA C++ that were launched last.
    program: Option<kernel::Program>,
}

/// What goes on beside each other.
struct Streams {
    up: Arc<CudaStream>,
    work: Arc<CudaStream>,
    down: Arc<CudaStream>,
}

struct Loaded {
    ptx: String,
    constants: Vec<Constant>,
    _module: Arc<CudaModule>,
    function: CudaFunction,
    /// The constants' values that aren't kept, and where all are and how many they have.
    _values: Vec<CudaSlice<u8>>,
    _table: CudaSlice<u64>,
    /// Where the latter is.
    table: u64,
    /// Where the module's variable [`FAILED`] is.
    failed: u64,
}

impl From<DriverError> for Failed {
    fn from(error: DriverError) -> Failed {
        Failed::Launch(sentence(error))
    }
}

fn sentence(error: DriverError) -> String {
    let text = |text: Result<&std::ffi::CStr, DriverError>| text.ok().map(|text| text.to_string_lossy().into_owned());
    text(error.error_string()).unwrap_or_else(|| format!("the driver's error {:?}", error.0))
}

impl Streams {
    /// Room on the GPU, which all streams can use.
    fn room(&self, bytes: usize) -> Result<CudaSlice<u8>, Failed> {
        // SAFETY: whatever is there is overwritten before anybody reads it.
        let room = unsafe { self.work.alloc::<u8>(bytes.max(1)) };
        let room = room.map_err(|error| self.refused(bytes, error))?;
        self.work.synchronize()?;
        Ok(room)
    }

    /// Why there is no room for so many bytes, on the GPU or in pinned memory. Nothing is broken by that.
    fn refused(&self, bytes: usize, error: DriverError) -> Failed {
        match self.work.context().mem_get_info() {
            Ok((free, _)) if error.0 == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                Failed::Memory { wanted: bytes as u64, free: free as u64 }
            }
            _ => error.into(),
        }
    }

    fn synchronize(&self) -> Result<(), Failed> {
        [&self.up, &self.work, &self.down].into_iter().try_for_each(|stream| Ok(stream.synchronize()?))
    }
}

impl Loaded {
    /// Launches the entry for so many items, whose arguments are at this address.
    fn launch(&self, stream: &Arc<CudaStream>, args: u64, count: u64) -> Result<(), Failed> {
        let blocks = u32::try_from(count.div_ceil(BLOCK.into())).map_err(|error| Failed::Launch(error.to_string()))?;
        let config = LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (BLOCK, 1, 1), shared_mem_bytes: 0 };
        let mut launch = stream.launch_builder(&self.function);
        launch.arg(&args).arg(&0u64).arg(&count);
        // SAFETY: the entry has these three parameters. What it reads and writes lies in the rooms that `args` and the
        // constants name, which were made for so many items; its own code is bounds-checked Rust, or the user's `unsafe`,
        // which can harm this process only.
        unsafe { launch.launch(config) }?;
        Ok(())
    }
}

impl Cuda {
    /// The GPU of this number, counted round if there are fewer.
    pub fn open(number: u32) -> Result<Cuda, Missing> {
        if !is_there() {
            return Err(Missing::here());
        }
        let opened = || -> Result<Option<Cuda>, DriverError> {
            result::init()?;
            let Some(count) = u32::try_from(result::device::get_count()?).ok().filter(|count| *count > 0) else {
                return Ok(None);
            };
            let number = number % count;
            let context = CudaContext::new(number as usize)?;
            let about = Arc::new(AboutCuda::new(&context, number)?);
            let streams =
                Streams { up: context.new_stream()?, work: context.new_stream()?, down: context.new_stream()? };
            Ok(Some(Cuda {
                context,
                streams,
                lanes: Vec::new(),
                about,
                loaded: None,
                pace: Pace::new(),
                kept: Buffers::new(),
                program: None,
            }))
        };
        match opened() {
            Ok(Some(cuda)) => Ok(cuda),
            Ok(None) => Err(Missing("the driver says that there is no GPU".to_owned())),
            Err(error) => Err(Missing(format!("the driver can't be used: {}", sentence(error)))),
        }
    }

    /// Where a stretch lies, which is all there.
    fn address(&self, stretch: Stretch) -> Result<u64, Failed> {
        self.context.bind_to_thread()?;
        let buffer = self.kept.find(stretch)?;
        Ok(buffer.device_ptr(&self.streams.work).0 + stretch.offset)
    }

    fn copied(&self, bytes: &[u8]) -> Result<CudaSlice<u8>, Failed> {
        let mut room = self.streams.room(bytes.len())?;
        if !bytes.is_empty() {
            self.streams.work.memcpy_htod(bytes, &mut room)?;
        }
        Ok(room)
    }

    fn loaded(&self, ptx: &str, constants: &[Constant]) -> Result<Loaded, Failed> {
        let refused = |error: DriverError| Failed::Module(sentence(error));
        let work = &self.streams.work;
        let module = self.context.load_module(Ptx::from_src(ptx)).map_err(refused)?;
        let function = module.load_function(ENTRY).map_err(refused)?;
        let (mut values, mut table) = (Vec::new(), Vec::new());
        for Constant { elements, value } in constants {
            let at = match value {
                Value::Kept(buffer) => self.kept.whole(*buffer)?.device_ptr(work).0,
                Value::Bytes(bytes) => {
                    let value = self.copied(bytes)?;
                    let at = value.device_ptr(work).0;
                    values.push(value);
                    at
                }
            };
            table.extend([at, *elements]);
        }
        table.resize(table.len().max(1), 0);
        let places = work.clone_htod(&table)?;
        // What is here is gone when this returns.
        work.synchronize()?;
        let (table, failed) = (places.device_ptr(work).0, module.get_global(FAILED, work)?.device_ptr(work).0);
        Ok(Loaded {
            ptx: ptx.to_owned(),
            constants: constants.to_vec(),
            _module: module,
            function,
            _values: values,
            _table: places,
            table,
            failed,
        })
    }

    /// The first item that fails, and how long the GPU worked. Lanes may still be under way.
    fn work(&mut self, work: Work<'_>, stop: &dyn Fn() -> bool) -> Result<(Option<u64>, Duration), Failed> {
        let Work { items, results, count } = work;
        let size = |bytes: u64| bytes / count.max(1);
        let (item, items) = match items {
            Items::Kept(stretch) => (size(stretch.bytes), Memory::There(self.address(stretch)?)),
            Items::Here(bytes) => (size(bytes.len() as u64), Memory::Here(bytes)),
        };
        let (result, results) = match results {
            Results::Kept(stretch) => (size(stretch.bytes), Memory::There(self.address(stretch)?)),
            Results::Here(bytes) => (size(bytes.len() as u64), Memory::Here(bytes)),
        };
        let travelling = |is_here: bool, size: u64| if is_here { size } else { 0 };
        let (items_travel, results_travel) = (matches!(items, Memory::Here(_)), matches!(results, Memory::Here(_)));
        let largest = travelling(items_travel, item).max(travelling(results_travel, result));
        let most = PART.checked_div(largest).unwrap_or(u64::MAX).max(1);
        let loaded = self.loaded.as_ref().ok_or_else(|| Failed::Launch("no code was loaded".to_owned()))?;
        let mut way = Way {
            context: &self.context,
            streams: &self.streams,
            lanes: &mut self.lanes,
            loaded,
            items,
            results,
            sizes: (item, result),
        };
        pipeline::run(count, most, &mut self.pace, &mut way, stop)
    }
}

/// What the parts of a launch go through.
struct Way<'a> {
    context: &'a Arc<CudaContext>,
    streams: &'a Streams,
    lanes: &'a mut Vec<Lane>,
    loaded: &'a Loaded,
    items: Memory<&'a [u8]>,
    results: Memory<&'a mut [u8]>,
    /// Of an item and of a result.
    sizes: (u64, u64),
}

/// The bytes of these items, each of which has so many.
fn range(part: Part, size: u64) -> std::ops::Range<usize> {
    (part.first * size) as usize..((part.first + part.count) * size) as usize
}

fn too_few() -> Failed {
    Failed::Launch("there are fewer items or results than there should be".to_owned())
}

impl Lanes for Way<'_> {
    fn start(&mut self, part: Part) -> Result<(), Failed> {
        let (item, result) = self.sizes;
        let items = match self.items {
            Memory::There(address) => Memory::There(address + part.first * item),
            Memory::Here(bytes) => Memory::Here(bytes.get(range(part, item)).ok_or_else(too_few)?),
        };
        let results = match self.results {
            Memory::There(address) => Memory::There(address + part.first * result),
            Memory::Here(_) => Memory::Here((part.count * result) as usize),
        };
        while self.lanes.len() <= part.lane {
            self.lanes.push(Lane::new(self.context, self.streams)?);
        }
        let lane = self.lanes.get_mut(part.lane).ok_or_else(too_few)?;
        lane.start(self.streams, self.loaded, items, results, part.count)
    }

    fn finish(&mut self, part: Part) -> Result<(Option<u64>, Duration), Failed> {
        let results = match &mut self.results {
            Memory::Here(bytes) => Some(bytes.get_mut(range(part, self.sizes.1)).ok_or_else(too_few)?),
            Memory::There(_) => None,
        };
        self.lanes.get_mut(part.lane).ok_or_else(too_few)?.finish(results)
    }
}

impl Device for Cuda {
    fn about(&self) -> Arc<dyn About> {
        Arc::clone(&self.about) as Arc<dyn About>
    }

    fn load(&mut self, ptx: &str, constants: &[Constant]) -> Result<(), Failed> {
        if self.loaded.as_ref().is_none_or(|loaded| loaded.ptx != ptx || loaded.constants != constants) {
            self.loaded = None;
            self.loaded = Some(self.loaded(ptx, constants)?);
            self.pace = Pace::new();
        }
        Ok(())
    }

    fn run(&mut self, work: Work<'_>, stop: &dyn Fn() -> bool) -> Result<Ran, Failed> {
        let begin = Instant::now();
        self.context.bind_to_thread()?;
        let worked = self.work(work, stop);
        // However it has ended, nobody uses the lanes any more.
        let ended = self.streams.synchronize();
        let (failing, kernel) = worked?;
        ended?;
        Ok(Ran { failing, kernel, transfer: begin.elapsed().saturating_sub(kernel) })
    }

    fn run_kernel(&mut self, ptx: &str, launch: &Launch, stop: &dyn Fn() -> bool) -> Result<Duration, Failed> {
        self.kernel(ptx, launch, stop)
    }

    fn keep(&mut self, buffer: u64, bytes: u64) -> Result<(), Failed> {
        let length = usize::try_from(bytes).map_err(|error| Failed::Shared(error.to_string()))?;
        self.context.bind_to_thread()?;
        let room = match self.streams.room(length) {
            // The lanes' is only there to be used again.
            Err(Failed::Memory { .. }) if !self.lanes.is_empty() => {
                self.lanes.clear();
                self.streams.synchronize()?;
                self.streams.room(length)?
            }
            room => room?,
        };
        self.kept.add(buffer, room, bytes);
        Ok(())
    }

    fn write(&mut self, to: Stretch, bytes: &[u8]) -> Result<(), Failed> {
        let at = self.address(Stretch { bytes: bytes.len() as u64, ..to })?;
        // SAFETY: `address` has found so many bytes there, and waits below for the end of the copy.
        unsafe { result::memcpy_htod_async(at, bytes, self.streams.work.cu_stream()) }?;
        Ok(self.streams.work.synchronize()?)
    }

    fn read(&mut self, from: Stretch, to: &mut [u8]) -> Result<(), Failed> {
        let at = self.address(Stretch { bytes: to.len() as u64, ..from })?;
        // SAFETY: as in `write`.
        unsafe { result::memcpy_dtoh_async(to, at, self.streams.work.cu_stream()) }?;
        Ok(self.streams.work.synchronize()?)
    }

    fn copy(&mut self, from: Stretch, to: Stretch) -> Result<(), Failed> {
        let (from, to, bytes) =
            (self.address(from)?, self.address(Stretch { bytes: from.bytes, ..to })?, from.bytes as usize);
        // SAFETY: as in `write`; the two are in buffers of their own.
        unsafe { result::memcpy_dtod_async(to, from, bytes, self.streams.work.cu_stream()) }?;
        Ok(self.streams.work.synchronize()?)
    }

    fn forget(&mut self, buffer: u64) {
        // Whoever calls this may be another thread than the one that has used the context.
        _ = self.context.bind_to_thread();
        drop(self.kept.remove(buffer));
    }
}
