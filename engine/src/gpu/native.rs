//! The worker itself runs what a GPU would, where there is none: the function comes as a library.

use super::client::Asked;
use chorus_gpu::devices::{Constant, Value as Given, constants};
use chorus_gpu::native::RUN;
use libloading::os::unix::Library;
use px::link::{GpuAnswer, GpuTimes};
use std::io::Write as _;
use std::mem::ManuallyDrop;
use std::sync::{Mutex, PoisonError};

/// See `px_run` of [`chorus_gpu::native`].
type Run = unsafe extern "C" fn(*const [*const u8; 3], u64) -> u64;

/// What was loaded last.
struct Loaded {
    /// The library and the constants, as they came.
    from: (Vec<u8>, Vec<u8>),
    run: Run,
    values: Vec<Value>,
}

/// A constant's bytes, where any type may begin, and how many elements they are.
struct Value {
    elements: u64,
    bytes: Vec<u128>,
}

/// As `Constant` of the text has it.
#[repr(C)]
struct TableEntry {
    start: *const u128,
    elements: u64,
}

static LOADED: Mutex<Option<Loaded>> = Mutex::new(None);

/// Calls the function with these items.
pub(super) fn run(count: u64, asked: &mut Asked<'_>) -> GpuAnswer {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let from = (asked.module, asked.constants);
    let known = loaded.take().filter(|loaded| (&loaded.from.0[..], &loaded.from.1[..]) == from);
    match known.map_or_else(|| load(asked), Ok) {
        Ok(ready) => {
            let done = ready.call(count, asked);
            *loaded = Some(ready);
            GpuAnswer::Done { items: done, times: GpuTimes::default() }
        }
        Err(why) => GpuAnswer::Failed(why),
    }
}

fn load(asked: &Asked<'_>) -> Result<Loaded, String> {
    let failed = |error: &dyn std::fmt::Display| format!("the function's library can't be loaded: {error}");
    let constants = constants(asked.constants).ok_or_else(|| failed(&"its constants are damaged"))?;
    // The dynamic linker takes a library of the same name for the same, so a descriptor's number can't be the name.
    let mut file = tempfile::Builder::new().suffix(".so").tempfile().map_err(|error| failed(&error))?;
    file.write_all(asked.module).map_err(|error| failed(&error))?;
    // SAFETY: its initialisers are those of std; it was compiled of the user's function, in the process that is there for
    // what users' code does. It stays loaded, as all objects do.
    let run = unsafe {
        let library = ManuallyDrop::new(Library::new(file.path()).map_err(|error| failed(&error))?);
        *library.get::<Run>(RUN).map_err(|error| failed(&error))?
    };
    let values = constants.iter().map(Value::of).collect::<Option<_>>();
    let values = values.ok_or_else(|| failed(&"one of its constants is in a GPU's memory"))?;
    Ok(Loaded { from: (asked.module.to_vec(), asked.constants.to_vec()), run, values })
}

impl Value {
    /// Nothing if it isn't here.
    fn of(constant: &Constant) -> Option<Value> {
        let Given::Bytes(bytes) = &constant.value else { return None };
        let parts = bytes.chunks(size_of::<u128>());
        let whole = |part: &[u8]| {
            let mut bytes = [0; size_of::<u128>()];
            bytes.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
            u128::from_ne_bytes(bytes)
        };
        Some(Value { elements: constant.elements, bytes: parts.map(whole).collect() })
    }
}

impl Loaded {
    fn call(&self, count: u64, asked: &mut Asked<'_>) -> u64 {
        let place = |value: &Value| TableEntry { start: value.bytes.as_ptr(), elements: value.elements };
        let table: Vec<TableEntry> = self.values.iter().map(place).collect();
        // As `Args` of the text has it, with `repr(C)`.
        let args = [asked.input.as_ptr(), asked.output.as_mut_ptr().cast_const(), table.as_ptr().cast()];
        // SAFETY: items and results are those of the call, whose sizes px has compared with the text's, as many as it
        // says. The constants have the text's types, since both were written of the same variables.
        unsafe { (self.run)(&args, count) }
    }
}
