//! A device of the tests: interprets the code that a GPU's driver would compile.

use super::{
    About, Argument, Buffers, Constant, Device, ENTRY, FAILED, Failed, Items, Launch, Ran, Results, State, Stretch,
    Value, Work,
};
use crate::interpret::{self, Fault, Memory, Module, Shape};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The interpreter, as a device.
pub struct Simulated {
    memory: Memory,
    loaded: Option<Loaded>,
    /// The addresses of what is kept.
    buffers: Buffers<u64>,
    meter: Arc<Meter>,
}

/// Tells how much of the memory is used.
#[derive(Default)]
struct Meter {
    number: u32,
    total: u64,
    held: AtomicU64,
}

impl Meter {
    fn read(&self, memory: &Memory) {
        self.held.store(self.total - memory.available().min(self.total), Ordering::Relaxed);
    }
}

impl About for Meter {
    fn state(&self) -> Result<State, String> {
        let (held, total) = (self.held.load(Ordering::Relaxed), self.total);
        let name = "a simulated device".to_owned();
        Ok(State {
            number: self.number,
            name,
            uuid: None,
            driver: None,
            capability: None,
            free: total - held,
            total,
            held: Some(held),
        })
    }
}

struct Loaded {
    ptx: String,
    constants: Vec<Constant>,
    device: interpret::Device,
    failed: u64,
    /// Where the constants' values and places are; the last one is that of the places.
    rooms: Vec<u64>,
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Failed {
        match fault {
            Fault::Stopped => Failed::Stopped,
            Fault::OutOfMemory { bytes, free } => Failed::Memory { wanted: bytes, free },
            other => Failed::Launch(other.to_string()),
        }
    }
}

impl Default for Simulated {
    fn default() -> Simulated {
        Simulated::new(0, Simulated::MEMORY)
    }
}

impl Simulated {
    /// What one has, if nobody says otherwise, in bytes.
    pub const MEMORY: u64 = 1 << 30;

    /// That of this number, which has so many bytes of memory.
    pub fn new(number: u32, total: u64) -> Simulated {
        let meter = Arc::new(Meter { number, total, ..Meter::default() });
        Simulated { memory: Memory::new(total), loaded: None, buffers: Buffers::new(), meter }
    }

    /// Values begin where any type may.
    fn room(&mut self, bytes: u64) -> Result<u64, Fault> {
        let room = self.memory.alloc(bytes.max(1), 16);
        self.meter.read(&self.memory);
        room
    }

    fn address(&self, stretch: Stretch) -> Result<u64, Failed> {
        Ok(self.buffers.find(stretch)? + stretch.offset)
    }

    fn unload(&mut self) -> Result<(), Fault> {
        let Some(loaded) = self.loaded.take() else { return Ok(()) };
        loaded.rooms.into_iter().try_for_each(|room| self.memory.free(room))?;
        loaded.device.unload(&mut self.memory)
    }

    /// The addresses that the module's function finds its constants by. `rooms` gets what is to be freed.
    fn put(&mut self, constants: &[Constant], rooms: &mut Vec<u64>) -> Result<(), Failed> {
        let mut table = Vec::new();
        for Constant { elements, value } in constants {
            let at = match value {
                Value::Kept(buffer) => *self.buffers.whole(*buffer)?,
                Value::Bytes(bytes) => {
                    let at = self.room(bytes.len() as u64)?;
                    rooms.push(at);
                    self.memory.write(at, bytes)?;
                    at
                }
            };
            table.extend(at.to_le_bytes().into_iter().chain(elements.to_le_bytes()));
        }
        let at = self.room(table.len() as u64)?;
        rooms.push(at);
        Ok(self.memory.write(at, &table)?)
    }

    /// Works at items. `rooms` gets what is to be freed.
    fn run_in(&mut self, work: Work<'_>, rooms: &mut Vec<u64>, stop: &dyn Fn() -> bool) -> Result<Ran, Failed> {
        let begin = Instant::now();
        let items = match work.items {
            Items::Kept(stretch) => self.address(stretch)?,
            Items::Here(bytes) => {
                let at = self.room(bytes.len() as u64)?;
                rooms.push(at);
                self.memory.write(at, bytes)?;
                at
            }
        };
        let (results, wanted) = match work.results {
            Results::Kept(stretch) => (self.address(stretch)?, None),
            Results::Here(bytes) => {
                let at = self.room(bytes.len() as u64)?;
                rooms.push(at);
                (at, Some(bytes))
            }
        };
        let launched = Instant::now();
        let failing = self.launch(items, results, work.count, stop)?;
        let kernel = launched.elapsed();
        if let Some(bytes) = wanted {
            bytes.copy_from_slice(&self.memory.read(results, bytes.len() as u64)?);
        }
        Ok(Ran { failing, kernel, transfer: begin.elapsed().saturating_sub(kernel) })
    }

    /// Runs the module's entry with these addresses of items and results.
    fn launch(&mut self, items: u64, results: u64, count: u64, stop: &dyn Fn() -> bool) -> Result<Option<u64>, Failed> {
        let args = self.room(24)?;
        let Some(Loaded { device, failed, rooms, .. }) = &self.loaded else { return Err(nothing_loaded()) };
        let constants = rooms.last().copied().unwrap_or_default();
        let table: Vec<u8> = [items, results, constants].iter().flat_map(|address| address.to_le_bytes()).collect();
        self.memory.write(args, &table)?;
        self.memory.write(*failed, &u64::MAX.to_le_bytes())?;
        let launched = device.launch(&mut self.memory, ENTRY, &[args, 0, count], count, stop);
        let first = launched.and_then(|()| self.memory.read(*failed, 8));
        self.memory.free(args)?;
        let first: [u8; 8] = first?.try_into().map_err(|_| Failed::Launch("it doesn't say what failed".to_owned()))?;
        Ok(Some(u64::from_le_bytes(first)).filter(|first| *first < count))
    }
}

/// What is wrong with a module before anything of it runs.
fn refused(fault: Fault) -> Failed {
    match Failed::from(fault) {
        Failed::Launch(what) => Failed::Module(what),
        other => other,
    }
}

fn nothing_loaded() -> Failed {
    Failed::Launch("no code was loaded".to_owned())
}

impl Device for Simulated {
    fn about(&self) -> Arc<dyn About> {
        Arc::clone(&self.meter) as Arc<dyn About>
    }

    fn load(&mut self, ptx: &str, constants: &[Constant]) -> Result<(), Failed> {
        if self.loaded.as_ref().is_some_and(|loaded| loaded.ptx == ptx && loaded.constants == constants) {
            return Ok(());
        }
        self.unload()?;
        let module = Module::parse(ptx).map_err(refused)?;
        let device = interpret::Device::load(module, &mut self.memory).map_err(refused)?;
        let failed = device.address_of(FAILED).ok_or_else(|| Failed::Module(format!("it has no {FAILED}")))?;
        let mut rooms = Vec::new();
        let put = self.put(constants, &mut rooms);
        // What was loaded is there to be freed, also if the constants don't fit.
        self.loaded = Some(Loaded { ptx: ptx.to_owned(), constants: constants.to_vec(), device, failed, rooms });
        put.inspect_err(|_| _ = self.unload())
    }

    fn run(&mut self, work: Work<'_>, stop: &dyn Fn() -> bool) -> Result<Ran, Failed> {
        let mut rooms = Vec::new();
        let ran = self.run_in(work, &mut rooms, stop);
        rooms.into_iter().try_for_each(|room| self.memory.free(room))?;
        self.meter.read(&self.memory);
        ran
    }

    fn run_kernel(&mut self, ptx: &str, launch: &Launch, stop: &dyn Fn() -> bool) -> Result<Duration, Failed> {
        launch.check()?;
        if launch.shared > 0 || ptx.contains(".shared") {
            return Err(Failed::Module("the simulated device has no shared memory".to_owned()));
        }
        let address = |argument: &Argument| match argument {
            Argument::Value(value) => Ok(*value),
            Argument::Kept(buffer) => self.buffers.whole(*buffer).copied(),
        };
        let arguments = launch.arguments.iter().map(address).collect::<Result<Vec<u64>, Failed>>()?;
        let module = Module::parse_cuda(ptx).map_err(refused)?;
        if !module.has(&launch.kernel) {
            return Err(Failed::Module(format!("it has no kernel `{}`", launch.kernel)));
        }
        let device = interpret::Device::load(module, &mut self.memory).map_err(refused)?;
        let begun = Instant::now();
        let shape = Shape { blocks: launch.blocks, threads: launch.threads };
        let launched = device.launch_grid(&mut self.memory, &launch.kernel, &arguments, shape, stop);
        device.unload(&mut self.memory)?;
        launched?;
        Ok(begun.elapsed())
    }

    fn keep(&mut self, buffer: u64, bytes: u64) -> Result<(), Failed> {
        let at = self.room(bytes)?;
        self.buffers.add(buffer, at, bytes);
        Ok(())
    }

    fn write(&mut self, to: Stretch, bytes: &[u8]) -> Result<(), Failed> {
        Ok(self.memory.write(self.address(to)?, bytes)?)
    }

    fn read(&mut self, from: Stretch, to: &mut [u8]) -> Result<(), Failed> {
        let bytes = to.len() as u64;
        to.copy_from_slice(&self.memory.read(self.address(Stretch { bytes, ..from })?, bytes)?);
        Ok(())
    }

    fn copy(&mut self, from: Stretch, to: Stretch) -> Result<(), Failed> {
        let bytes = self.memory.read(self.address(from)?, from.bytes)?;
        Ok(self.memory.write(self.address(to)?, &bytes)?)
    }

    fn forget(&mut self, buffer: u64) {
        // It was allocated when it was kept, so it can be freed.
        self.buffers.remove(buffer).map(|at| self.memory.free(at));
        self.meter.read(&self.memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_stays_and_counts_until_it_is_forgotten() {
        let mut device = Simulated::new(0, 100);
        let all = |buffer, bytes| Stretch { buffer, offset: 0, bytes };
        device.keep(1, 60).unwrap();
        device.write(Stretch { buffer: 1, offset: 50, bytes: 3 }, b"abc").unwrap();
        assert_eq!(device.keep(2, 60), Err(Failed::Memory { wanted: 60, free: 40 }));
        device.keep(3, 10).unwrap();
        device.copy(Stretch { buffer: 1, offset: 51, bytes: 2 }, all(3, 2)).unwrap();
        let mut read = [0; 2];
        device.read(all(3, 2), &mut read).unwrap();
        assert_eq!(&read, b"bc");
        device.forget(1);
        assert_eq!(device.read(all(1, 2), &mut read), Err(Failed::Gone));
        device.keep(4, 60).unwrap();
    }

    /// Adds its first argument to a number in global memory, and to one of the module's, which it then writes behind that.
    const KERNEL: &str = ".version 7.0\n.target sm_80\n.address_size 64\n.global .u32 sum;
        .visible .entry add(.param .u32 a, .param .u64 at) {
            .reg .b32 %r<4>; .reg .b64 %d<2>; ld.param.u32 %r0, [a]; ld.param.u64 %d0, [at];
            ld.global.u32 %r1, [%d0]; add.s32 %r1, %r1, %r0; st.global.u32 [%d0], %r1;
            ld.global.u32 %r2, [sum]; add.s32 %r2, %r2, %r0; st.global.u32 [sum], %r2; st.global.u32 [%d0+4], %r2; ret;
        }";

    #[test]
    fn a_kernel_runs_at_what_is_kept_and_its_variables_begin_anew() {
        let mut device = Simulated::new(0, 1000);
        device.keep(7, 8).unwrap();
        let all = Stretch { buffer: 7, offset: 0, bytes: 8 };
        device.write(all, &[0; 8]).unwrap();
        let arguments = vec![Argument::Value(3), Argument::Kept(7)];
        let launch = Launch { kernel: "add".into(), blocks: [2, 1, 1], threads: [1, 2, 1], shared: 0, arguments };
        let mut read = [0; 8];
        for expected in [[12, 0, 0, 0, 12, 0, 0, 0], [24, 0, 0, 0, 12, 0, 0, 0]] {
            device.run_kernel(KERNEL, &launch, &|| false).unwrap();
            device.read(all, &mut read).unwrap();
            assert_eq!(read, expected);
        }
        assert_eq!(device.run_kernel(KERNEL, &launch, &|| true), Err(Failed::Stopped));
        let with = |change: &dyn Fn(&mut Launch)| {
            let mut changed = launch.clone();
            change(&mut changed);
            changed
        };
        let mut failed = |ptx: &str, launch: &Launch| device.run_kernel(ptx, launch, &|| false).unwrap_err();
        assert!(matches!(failed(KERNEL, &with(&|it| it.blocks = [0; 3])), Failed::Refused(_)));
        assert!(matches!(failed(KERNEL, &with(&|it| it.kernel = "sub".into())), Failed::Module(_)));
        assert!(matches!(failed(KERNEL, &with(&|it| it.shared = 4)), Failed::Module(_)));
        assert!(matches!(failed(&KERNEL.replace(".global .u32 sum", ".shared .u32 sum"), &launch), Failed::Module(_)));
        assert_eq!(failed(KERNEL, &with(&|it| it.arguments[1] = Argument::Kept(8))), Failed::Gone);
        assert!(matches!(failed(KERNEL, &with(&|it| it.arguments[1] = Argument::Value(16))), Failed::Launch(_)));
        // Nothing stays but what is kept.
        assert_eq!(device.memory.available(), 992);
    }
}
