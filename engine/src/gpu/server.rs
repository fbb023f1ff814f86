//! The process that has the GPU.

use super::sensors::Sensors;
use super::{ANOTHER, CHOICE, FromGpu, MEMORY, ToGpu, Told, holders};
use crate::wire;
use chorus_gpu::devices::{self, About, Cuda, Device, Failed, Items, Results, Simulated, Work};
use chorus_system::descriptors::is_readable_within;
use chorus_system::parent::{AtItsEnd, die_with};
use chorus_system::process;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Is the process: its arguments are the number of the GPU, its engine's process, with which it ends, and how many of that
/// engine were there before it. Workers connect to its standard input.
pub fn main(mut args: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    let mut number = || args.next().and_then(|number| number.to_str()?.parse().ok());
    let (Some(device), Some(engine), Some(nth)) = (number(), number(), number()) else {
        eprintln!("chorus-engine: it needs a GPU's number, an engine's process, and how many there were before");
        return ExitCode::FAILURE;
    };
    let begun = die_with(engine, AtItsEnd::Terminate).and_then(|()| io::stdin().as_fd().try_clone_to_owned());
    match begun {
        Ok(listener) => serve(&UnixListener::from(listener), device, nth),
        Err(error) => eprintln!("chorus-engine: the process for the GPU can't begin: {error}"),
    }
    ExitCode::FAILURE
}

/// The device, or why there is none: that is told to whoever wants to use it.
type Shared = Arc<Mutex<Result<Gpu, String>>>;

struct Gpu {
    device: Box<dyn Device>,
    /// The number of the next buffer. None of the engine's processes uses one of another.
    next: u64,
    /// What says whether a buffer is still needed.
    holders: HashMap<u64, File>,
}

impl Gpu {
    /// The buffer is forgotten when nobody holds this file any more; `shared` is where this is.
    fn keep(&mut self, bytes: u64, holder: &str, shared: &Shared) -> Result<u64, Failed> {
        let holder = holders::open(holder).map_err(broken)?;
        let (number, shared) = (self.next, Arc::clone(shared));
        self.device.keep(number, bytes)?;
        self.next += 1;
        let forget = move || {
            if let Ok(gpu) = &mut *shared.lock() {
                gpu.forget(number);
            }
        };
        let waits = holders::wait_for(&holder, forget).map_err(broken);
        self.holders.insert(number, holder);
        waits.map(|()| number).inspect_err(|_| self.forget(number))
    }

    fn forget(&mut self, number: u64) {
        self.holders.remove(&number);
        self.device.forget(number);
    }

    /// Forgets what nobody holds, and is about to be forgotten. Returns whether there was such.
    fn sweep(&mut self) -> bool {
        let free: Vec<u64> =
            self.holders.iter().filter(|(_, file)| holders::is_free(file)).map(|(number, _)| *number).collect();
        free.iter().for_each(|number| self.forget(*number));
        !free.is_empty()
    }
}

fn serve(listener: &UnixListener, number: u32, nth: u32) {
    let is_simulated = std::env::var_os(CHOICE).is_some_and(|choice| choice == "simulated");
    let device: Result<Box<dyn Device>, String> = match is_simulated {
        true => Ok(Box::new(simulated(number))),
        false => {
            Cuda::open(number).map(|cuda| Box::new(cuda) as Box<dyn Device>).map_err(|missing| missing.to_string())
        }
    };
    let about = device.as_ref().map(|device| device.about()).map_err(Clone::clone);
    let uuid = about.as_ref().ok().and_then(|about| about.state().ok()?.uuid);
    let sensors = Arc::new(Sensors::of(uuid));
    let gpu: Shared =
        Arc::new(Mutex::new(device.map(|device| Gpu { device, next: u64::from(nth) << 32, holders: HashMap::new() })));
    for stream in listener.incoming().flatten() {
        let (gpu, about, sensors) = (Arc::clone(&gpu), about.clone(), Arc::clone(&sensors));
        // Its worker is gone, or has another connection.
        std::thread::spawn(move || _ = answer(stream, &gpu, &about, &sensors));
    }
}

fn simulated(number: u32) -> Simulated {
    let memory = std::env::var(MEMORY).ok().and_then(|bytes| bytes.parse().ok());
    Simulated::new(number, memory.unwrap_or(Simulated::MEMORY))
}

/// What a worker has loaded.
type Loaded = Option<(String, Vec<devices::Constant>)>;

/// `about` needs no turn at the device: whoever asks isn't to wait for a map.
fn answer(
    mut stream: UnixStream,
    gpu: &Shared,
    about: &Result<Arc<dyn About>, String>,
    sensors: &Sensors,
) -> io::Result<()> {
    let mut loaded = None;
    loop {
        let asked = wire::read(&mut stream)?;
        if asked == ToGpu::About {
            let answer = match about.as_ref().map_err(Clone::clone).and_then(|about| about.state()) {
                Ok(state) => FromGpu::About(Told { state, is_busy: gpu.is_locked(), readings: sensors.read() }),
                Err(why) => FromGpu::Failed(why),
            };
            wire::write(&mut stream, &answer)?;
            continue;
        }
        // A worker that is gone wants nothing more, and one that waits says nothing.
        let stop = || is_readable_within(&stream, Duration::ZERO);
        let done = match &mut *gpu.lock() {
            Ok(mine) => match asked_for(&asked, mine, gpu, &mut loaded, &stop) {
                Err(Failed::Memory { .. }) if mine.sweep() => asked_for(&asked, mine, gpu, &mut loaded, &stop),
                done => done,
            },
            Err(why) => Ok(FromGpu::Failed(why.clone())),
        };
        // After such an end, the driver gives this process nothing more.
        let is_broken = matches!(done, Err(Failed::Launch(_)));
        let answer = done.unwrap_or_else(|failed| match failed {
            Failed::Memory { wanted, free } => FromGpu::Memory { wanted, free },
            other => FromGpu::Failed(other.to_string()),
        });
        wire::write(&mut stream, &answer)?;
        if is_broken {
            // Not by `exit`, in which the driver could wait for a kernel that has no end.
            process::leave(ANOTHER.into());
        }
    }
}

/// What a worker asked for is done; `shared` is where `gpu` is.
fn asked_for(
    asked: &ToGpu,
    gpu: &mut Gpu,
    shared: &Shared,
    loaded: &mut Loaded,
    stop: &dyn Fn() -> bool,
) -> Result<FromGpu, Failed> {
    let device = &mut *gpu.device;
    let done = FromGpu::Done { items: 0, transfer: 0, kernel: 0 };
    match asked {
        ToGpu::Load { file, ptx, constants } => {
            let file = open(file)?;
            let (code, values) = (read(&file, 0, *ptx)?, read(&file, *ptx, *constants)?);
            match (String::from_utf8(code), devices::constants(&values)) {
                (Ok(code), Some(values)) => {
                    *loaded = Some((code, values));
                    Ok(FromGpu::Loaded)
                }
                _ => Ok(FromGpu::Failed("what came isn't code for a GPU".to_owned())),
            }
        }
        ToGpu::Run { file, item_bytes, result_bytes, items, results, count } => {
            let Some((ptx, constants)) = loaded else { return Ok(no_code()) };
            let file = open(file)?;
            let (bytes, mut room) = (read(&file, 0, *item_bytes)?, vec![0; size(*result_bytes)?]);
            let items = items.map_or(Items::Here(&bytes), Items::Kept);
            let results_here = results.is_none();
            let results = results.map_or(Results::Here(&mut room), Results::Kept);
            device.load(ptx, constants)?;
            let ran = device.run(Work { items, results, count: *count }, stop)?;
            if results_here {
                file.write_all_at(&room, *item_bytes).map_err(broken)?;
            }
            let (transfer, kernel) = (micros(ran.transfer), micros(ran.kernel));
            Ok(FromGpu::Done { items: ran.failing.unwrap_or(*count), transfer, kernel })
        }
        ToGpu::Launch(launch) => {
            let Some((ptx, _)) = loaded else { return Ok(no_code()) };
            let took = device.run_kernel(ptx, launch, stop)?;
            Ok(FromGpu::Done { items: 0, transfer: 0, kernel: micros(took) })
        }
        // It was answered without a turn at the device.
        ToGpu::About => Ok(done),
        ToGpu::Keep { bytes, holder } => gpu.keep(*bytes, holder, shared).map(FromGpu::Kept),
        ToGpu::Write { file, to } => {
            device.write(*to, &read(&open(file)?, 0, to.bytes)?)?;
            Ok(done)
        }
        ToGpu::Read { file, from } => {
            let (file, mut room) = (open(file)?, vec![0; size(from.bytes)?]);
            device.read(*from, &mut room)?;
            file.write_all_at(&room, 0).map_err(broken)?;
            Ok(done)
        }
        ToGpu::Copy { from, to } => {
            device.copy(*from, *to)?;
            Ok(done)
        }
    }
}

fn no_code() -> FromGpu {
    FromGpu::Failed("there is no code to run".to_owned())
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// That of the worker's memory.
fn broken(error: io::Error) -> Failed {
    Failed::Shared(error.to_string())
}

fn open(file: &str) -> Result<File, Failed> {
    File::options().read(true).write(true).open(file).map_err(broken)
}

fn read(file: &File, at: u64, bytes: u64) -> Result<Vec<u8>, Failed> {
    let mut read = vec![0; size(bytes)?];
    file.read_exact_at(&mut read, at).map_err(broken)?;
    Ok(read)
}

fn size(bytes: u64) -> Result<usize, Failed> {
    usize::try_from(bytes).map_err(|error| Failed::Shared(error.to_string()))
}
