//! A device of the tests: interprets the code that a GPU's driver would compile.

use super::{About, Constant, Device, ENTRY, FAILED, Failed, State, Work};
use crate::interpret::{self, Fault, Memory, Module};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a simulated device has.
const MEMORY: u64 = 1 << 30;

/// The interpreter, as a device. All runs begin with memory that holds the module and its constants only.
#[derive(Default)]
pub struct Simulated {
    loaded: Option<Loaded>,
    meter: Arc<Meter>,
}

/// Tells how much of the memory is used.
#[derive(Default)]
struct Meter {
    number: u32,
    held: AtomicU64,
}

impl Meter {
    fn read(&self, memory: &Memory) {
        self.held.store(MEMORY - memory.available().min(MEMORY), Ordering::Relaxed);
    }
}

impl About for Meter {
    fn state(&self) -> Result<State, String> {
        let held = self.held.load(Ordering::Relaxed);
        let name = "a simulated device".to_owned();
        let (free, total) = (MEMORY - held, MEMORY);
        Ok(State { number: self.number, name, driver: None, capability: None, free, total, held: Some(held) })
    }
}

struct Loaded {
    ptx: String,
    values: Vec<Constant>,
    memory: Memory,
    device: interpret::Device,
    failed: u64,
    constants: u64,
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Failed {
        match fault {
            Fault::Stopped => Failed::Stopped,
            other => Failed::Launch(other.to_string()),
        }
    }
}

impl Simulated {
    /// That of this number.
    pub fn of(number: u32) -> Simulated {
        Simulated { loaded: None, meter: Arc::new(Meter { number, ..Meter::default() }) }
    }

    fn loaded(ptx: &str, constants: &[Constant]) -> Result<Loaded, Fault> {
        let mut memory = Memory::new(MEMORY);
        let device = interpret::Device::load(Module::parse(ptx)?, &mut memory)?;
        let failed = device.address_of(FAILED).ok_or_else(|| Fault::NoEntry(FAILED.to_owned()))?;
        let mut table = Vec::new();
        for Constant { elements, bytes } in constants {
            // Values begin where any type may.
            let at = memory.alloc((bytes.len() as u64).max(1), 16)?;
            memory.write(at, bytes)?;
            table.extend(at.to_le_bytes().into_iter().chain(elements.to_le_bytes()));
        }
        let at = memory.alloc((table.len() as u64).max(1), 8)?;
        memory.write(at, &table)?;
        Ok(Loaded { ptx: ptx.to_owned(), values: constants.to_vec(), memory, device, failed, constants: at })
    }
}

impl Device for Simulated {
    fn about(&self) -> Arc<dyn About> {
        Arc::clone(&self.meter) as Arc<dyn About>
    }

    fn load(&mut self, ptx: &str, constants: &[Constant]) -> Result<(), Failed> {
        if self.loaded.as_ref().is_some_and(|loaded| loaded.ptx == ptx && loaded.values == constants) {
            return Ok(());
        }
        self.loaded = None;
        let loaded = Simulated::loaded(ptx, constants).map_err(|fault| Failed::Module(fault.to_string()))?;
        self.meter.read(&loaded.memory);
        self.loaded = Some(loaded);
        Ok(())
    }

    fn run(&mut self, work: Work<'_>, stop: &dyn Fn() -> bool) -> Result<Option<u64>, Failed> {
        let loaded = self.loaded.as_mut().ok_or_else(|| Failed::Launch("no code was loaded".to_owned()))?;
        let Loaded { memory, device, failed, constants, .. } = loaded;
        let room = |bytes: usize| (bytes as u64).max(1);
        let (items, results) = (memory.alloc(room(work.items.len()), 16)?, memory.alloc(room(work.results.len()), 16)?);
        let args = memory.alloc(24, 8)?;
        memory.write(items, work.items)?;
        let table: Vec<u8> = [items, results, *constants].iter().flat_map(|address| address.to_le_bytes()).collect();
        memory.write(args, &table)?;
        memory.write(*failed, &u64::MAX.to_le_bytes())?;
        self.meter.read(memory);
        let launched = device.launch(memory, ENTRY, &[args, 0, work.count], work.count, stop);
        let done = launched.and_then(|()| {
            work.results.copy_from_slice(&memory.read(results, work.results.len() as u64)?);
            memory.read(*failed, 8)
        });
        [args, results, items].into_iter().try_for_each(|address| memory.free(address))?;
        self.meter.read(memory);
        let first: [u8; 8] = done?.try_into().map_err(|_| Failed::Launch("it doesn't say what failed".to_owned()))?;
        Ok(Some(u64::from_le_bytes(first)).filter(|first| *first < work.count))
    }
}
