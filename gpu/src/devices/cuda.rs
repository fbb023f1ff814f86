//! A GPU of NVIDIA's, through its driver.

mod about;

use super::{About, Constant, Device, ENTRY, FAILED, Failed, Work};
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
}

struct Loaded {
    ptx: String,
    constants: Vec<Constant>,
    module: Arc<CudaModule>,
    function: CudaFunction,
    /// The constants' values, and where they and how many they are.
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
            Ok(Some(Cuda { stream: context.new_stream()?, context, about, loaded: None }))
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
        let values: Vec<_> = constants.iter().map(|it| self.copied(&it.bytes)).collect::<Result<_, _>>()?;
        let mut table = Vec::new();
        for (value, Constant { elements, .. }) in values.iter().zip(constants) {
            table.extend([value.device_ptr(&self.stream).0, *elements]);
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

    fn run(&mut self, work: Work<'_>, stop: &dyn Fn() -> bool) -> Result<Option<u64>, Failed> {
        let loaded = self.loaded.as_ref().ok_or_else(|| Failed::Launch("no code was loaded".to_owned()))?;
        let (items, results) = (self.copied(work.items)?, self.room(work.results.len())?);
        let pointers = [&items, &results].map(|room| room.device_ptr(&self.stream).0);
        let args = self.stream.clone_htod(&[pointers[0], pointers[1], loaded.table.device_ptr(&self.stream).0])?;
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
        if !work.results.is_empty() {
            self.stream.memcpy_dtoh(&results.slice(..work.results.len()), work.results)?;
        }
        self.stream.synchronize()?;
        Ok(failing)
    }
}
