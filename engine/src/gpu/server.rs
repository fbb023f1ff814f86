//! The process that has the GPU.

use super::{ANOTHER, CHOICE, FromGpu, ToGpu, Told};
use crate::wire;
use chorus_gpu::devices::{self, About, Cuda, Device, Failed, Simulated, Work};
use chorus_system::descriptors::is_readable_within;
use chorus_system::parent::{AtItsEnd, die_with};
use parking_lot::Mutex;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Is the process: its arguments are the number of the GPU and its engine's process, with which it ends. Workers connect to
/// its standard input.
pub fn main(mut args: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    let mut number = || args.next().and_then(|number| number.to_str()?.parse().ok());
    let (Some(device), Some(engine)) = (number(), number()) else {
        eprintln!("chorus-engine: it needs a GPU's number and an engine's process");
        return ExitCode::FAILURE;
    };
    let begun = die_with(engine, AtItsEnd::Terminate).and_then(|()| io::stdin().as_fd().try_clone_to_owned());
    match begun {
        Ok(listener) => serve(&UnixListener::from(listener), device),
        Err(error) => eprintln!("chorus-engine: the process for the GPU can't begin: {error}"),
    }
    ExitCode::FAILURE
}

/// The device, or why there is none: that is told to whoever wants to use it.
type Shared = Arc<Mutex<Result<Box<dyn Device>, String>>>;

fn serve(listener: &UnixListener, number: u32) {
    let is_simulated = std::env::var_os(CHOICE).is_some_and(|choice| choice == "simulated");
    let device: Result<Box<dyn Device>, String> = match is_simulated {
        true => Ok(Box::new(Simulated::of(number))),
        false => {
            Cuda::open(number).map(|cuda| Box::new(cuda) as Box<dyn Device>).map_err(|missing| missing.to_string())
        }
    };
    let about = device.as_ref().map(|device| device.about()).map_err(Clone::clone);
    let device: Shared = Arc::new(Mutex::new(device));
    for stream in listener.incoming().flatten() {
        let (device, about) = (Arc::clone(&device), about.clone());
        // Its worker is gone, or has another connection.
        std::thread::spawn(move || _ = answer(stream, &device, &about));
    }
}

/// `about` needs no turn at the device: whoever asks isn't to wait for a map.
fn answer(mut stream: UnixStream, device: &Shared, about: &Result<Arc<dyn About>, String>) -> io::Result<()> {
    let mut loaded: Option<(String, Vec<devices::Constant>)> = None;
    let mut is_broken = false;
    loop {
        let answer = match wire::read(&mut stream)? {
            ToGpu::About => match about.as_ref().map_err(Clone::clone).and_then(|about| about.state()) {
                Ok(state) => FromGpu::About(Told { state, is_busy: device.is_locked() }),
                Err(why) => FromGpu::Failed(why),
            },
            ToGpu::Load { ptx, constants } => match (String::from_utf8(ptx), devices::constants(&constants)) {
                (Ok(ptx), Some(constants)) => {
                    loaded = Some((ptx, constants));
                    FromGpu::Loaded
                }
                _ => FromGpu::Failed("what came isn't code for a GPU".to_owned()),
            },
            ToGpu::Run { file, items, results, count } => {
                // A worker that is gone wants nothing more, and one that waits says nothing.
                let stop = || is_readable_within(&stream, Duration::ZERO);
                let ran = match (&mut *device.lock(), &loaded) {
                    (Ok(device), Some((ptx, constants))) => {
                        let place = Place { file, items, results, count };
                        let ran = run(&mut **device, ptx, constants, &place, &stop);
                        is_broken = matches!(ran, Err(Failed::Launch(_)));
                        ran.map_err(|error| error.to_string())
                    }
                    (Err(why), _) => Err(why.clone()),
                    (Ok(_), None) => Err("there is no code to run".to_owned()),
                };
                ran.map_or_else(FromGpu::Failed, FromGpu::Done)
            }
        };
        wire::write(&mut stream, &answer)?;
        if is_broken {
            // After such an end, the driver gives this process nothing more.
            std::process::exit(ANOTHER.into());
        }
    }
}

struct Place {
    file: String,
    items: u64,
    results: u64,
    count: u64,
}

/// Says how many items have results.
fn run(
    device: &mut dyn Device,
    ptx: &str,
    constants: &[devices::Constant],
    place: &Place,
    stop: &dyn Fn() -> bool,
) -> Result<u64, Failed> {
    let shared = |error: io::Error| Failed::Launch(format!("the memory that it shares with the worker: {error}"));
    let size = |bytes: u64| usize::try_from(bytes).map_err(|error| Failed::Launch(error.to_string()));
    let file = File::options().read(true).write(true).open(&place.file).map_err(shared)?;
    let (mut items, mut results) = (vec![0; size(place.items)?], vec![0; size(place.results)?]);
    file.read_exact_at(&mut items, 0).map_err(shared)?;
    device.load(ptx, constants)?;
    let failing = device.run(Work { items: &items, results: &mut results, count: place.count }, stop)?;
    file.write_all_at(&results, place.items).map_err(shared)?;
    Ok(failing.unwrap_or(place.count))
}
