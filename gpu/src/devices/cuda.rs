//! A GPU of NVIDIA's, through its driver.

mod about;

use super::{About, Buffers, Constant, Device, ENTRY, FAILED, Failed, Items, Ran, Results, Stretch, Value, Work};
use about::AboutCuda;
use cudarc::driver::{
    CudaContext, CudaFunction, CudaModule, CudaSlice, CudaStream, DevicePtr, DriverError, LaunchConfig, PushKernelArg,
    result,
};
use cudarc::nvrtc::Ptx;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Threads that a GPU starts together; the code counts on nothing else.
const BLOCK: u32 = 256;
/// Items of a first launch. A launch can't be interrupted, so later ones are as long as [`LAUNCH`] or less.
const FIRST: u64 = 1 << 16;
/// Items of a launch at most: blocks are counted by 31 bits.
const MOST: u64 = 1 << 30;
/// How long a launch may take.
const LAUNCH: Duration = Duration::from_millis(100);
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
    stream: Arc<CudaStream>,
    about: Arc<AboutCuda>,
    loaded: Option<Loaded>,
    kept: Buffers<CudaSlice<u8>>,
}

struct Loaded {
    ptx: String,
    constants: Vec<Constant>,
    module: Arc<CudaModule>,
    function: CudaFunction,
    /// The constants' values that aren't kept, and where all are and how many they have.
    _values: Vec<CudaSlice<u8>>,
    table: CudaSlice<u64>,
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
            Ok(Some(Cuda { stream: context.new_stream()?, context, about, loaded: None, kept: Buffers::new() }))
        };
        match opened() {
            Ok(Some(cuda)) => Ok(cuda),
            Ok(None) => Err(Missing("the driver says that there is no GPU".to_owned())),
            Err(error) => Err(Missing(format!("the driver can't be used: {}", sentence(error)))),
        }
    }

    /// Room on the GPU.
    fn room(&self, bytes: usize) -> Result<CudaSlice<u8>, Failed> {
        // SAFETY: whatever is there is overwritten before anybody reads it.
        let room = unsafe { self.stream.alloc::<u8>(bytes.max(1)) };
        room.map_err(|error| match self.context.mem_get_info() {
            Ok((free, _)) if (bytes as u64) > free as u64 => Failed::Memory { wanted: bytes as u64, free: free as u64 },
            _ => error.into(),
        })
    }

    /// Where a stretch lies, which is all there.
    fn address(&self, stretch: Stretch) -> Result<u64, Failed> {
        self.context.bind_to_thread()?;
        let buffer = self.kept.find(stretch)?;
        Ok(buffer.device_ptr(&self.stream).0 + stretch.offset)
    }

    fn copied(&self, bytes: &[u8]) -> Result<CudaSlice<u8>, Failed> {
        let mut room = self.room(bytes.len())?;
        if !bytes.is_empty() {
            self.stream.memcpy_htod(bytes, &mut room)?;
        }
        Ok(room)
    }

    fn loaded(&self, ptx: &str, constants: &[Constant]) -> Result<Loaded, Failed> {
        let refused = |error: DriverError| Failed::Module(sentence(error));
        let module = self.context.load_module(Ptx::from_src(ptx)).map_err(refused)?;
        let function = module.load_function(ENTRY).map_err(refused)?;
        let (mut values, mut table) = (Vec::new(), Vec::new());
        for Constant { elements, value } in constants {
            let at = match value {
                Value::Kept(buffer) => self.kept.whole(*buffer)?.device_ptr(&self.stream).0,
                Value::Bytes(bytes) => {
                    let value = self.copied(bytes)?;
                    let at = value.device_ptr(&self.stream).0;
                    values.push(value);
                    at
                }
            };
            table.extend([at, *elements]);
        }
        table.resize(table.len().max(1), 0);
        let table = self.stream.clone_htod(&table)?;
        Ok(Loaded { ptx: ptx.to_owned(), constants: constants.to_vec(), module, function, _values: values, table })
    }

    /// The first of so many items that fails.
    fn launch(&self, loaded: &Loaded, args: &CudaSlice<u64>, first: u64, count: u64) -> Result<Option<u64>, Failed> {
        let mut failed = loaded.module.get_global(FAILED, &self.stream)?;
        self.stream.memcpy_htod(&u64::MAX.to_le_bytes(), &mut failed)?;
        let blocks = u32::try_from(count.div_ceil(BLOCK.into())).map_err(|error| Failed::Launch(error.to_string()))?;
        let config = LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (BLOCK, 1, 1), shared_mem_bytes: 0 };
        let mut launch = self.stream.launch_builder(&loaded.function);
        launch.arg(args).arg(&first).arg(&count);
        // SAFETY: the entry has these three parameters. What it reads and writes lies in the rooms that `args` and the
        // constants name, which were made for so many items; its own code is bounds-checked Rust, or the user's `unsafe`,
        // which can harm this process only.
        unsafe { launch.launch(config) }?;
        self.stream.synchronize()?;
        let mut first_failing = [0; 8];
        self.stream.memcpy_dtoh(&failed, &mut first_failing)?;
        self.stream.synchronize()?;
        Ok(Some(u64::from_le_bytes(first_failing)).filter(|failing| *failing < count).map(|failing| first + failing))
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
        }
        Ok(())
    }

    fn run(&mut self, work: Work<'_>, stop: &dyn Fn() -> bool) -> Result<Ran, Failed> {
        let begin = Instant::now();
        let loaded = self.loaded.as_ref().ok_or_else(|| Failed::Launch("no code was loaded".to_owned()))?;
        let (items, results);
        let from = match work.items {
            Items::Kept(stretch) => self.address(stretch)?,
            Items::Here(bytes) => {
                items = self.copied(bytes)?;
                items.device_ptr(&self.stream).0
            }
        };
        let (to, mut wanted) = match work.results {
            Results::Kept(stretch) => (self.address(stretch)?, None),
            Results::Here(bytes) => {
                results = self.room(bytes.len())?;
                (results.device_ptr(&self.stream).0, Some((&results, bytes)))
            }
        };
        let args = self.stream.clone_htod(&[from, to, loaded.table.device_ptr(&self.stream).0])?;
        self.stream.synchronize()?;
        let launched = Instant::now();
        let (mut at, mut step, mut failing) = (0, FIRST, None);
        while at < work.count && failing.is_none() {
            if stop() {
                return Err(Failed::Stopped);
            }
            let (count, begin) = (step.min(work.count - at), Instant::now());
            failing = self.launch(loaded, &args, at, count)?;
            at += count;
            step = match begin.elapsed() {
                took if took < LAUNCH / 4 => (step * 4).min(MOST),
                took if took > LAUNCH => (step / 4).max(1),
                _ => step,
            };
        }
        let kernel = launched.elapsed();
        if let Some((room, bytes)) = wanted.take().filter(|(_, bytes)| !bytes.is_empty()) {
            self.stream.memcpy_dtoh(&room.slice(..bytes.len()), bytes)?;
        }
        self.stream.synchronize()?;
        Ok(Ran { failing, kernel, transfer: begin.elapsed().saturating_sub(kernel) })
    }

    fn keep(&mut self, buffer: u64, bytes: u64) -> Result<(), Failed> {
        let room = self.room(usize::try_from(bytes).map_err(|error| Failed::Launch(error.to_string()))?)?;
        self.kept.add(buffer, room, bytes);
        Ok(())
    }

    fn write(&mut self, to: Stretch, bytes: &[u8]) -> Result<(), Failed> {
        let at = self.address(Stretch { bytes: bytes.len() as u64, ..to })?;
        // SAFETY: `address` has found so many bytes there, and waits below for the end of the copy.
        unsafe { result::memcpy_htod_async(at, bytes, self.stream.cu_stream()) }?;
        Ok(self.stream.synchronize()?)
    }

    fn read(&mut self, from: Stretch, to: &mut [u8]) -> Result<(), Failed> {
        let at = self.address(Stretch { bytes: to.len() as u64, ..from })?;
        // SAFETY: as in `write`.
        unsafe { result::memcpy_dtoh_async(to, at, self.stream.cu_stream()) }?;
        Ok(self.stream.synchronize()?)
    }

    fn copy(&mut self, from: Stretch, to: Stretch) -> Result<(), Failed> {
        let (from, to, bytes) =
            (self.address(from)?, self.address(Stretch { bytes: from.bytes, ..to })?, from.bytes as usize);
        // SAFETY: as in `write`; the two are in buffers of their own.
        unsafe { result::memcpy_dtod_async(to, from, bytes, self.stream.cu_stream()) }?;
        Ok(self.stream.synchronize()?)
    }

    fn forget(&mut self, buffer: u64) {
        // Whoever calls this may be another thread than the one that has used the context.
        _ = self.context.bind_to_thread();
        drop(self.kept.remove(buffer));
    }
}
