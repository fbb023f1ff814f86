//! Loads objects and calls them. Objects are never unloaded: variables, threads and hooks point into them.

use super::flusher::Flush;
use super::report;
use chorus_protocol::{Entry, Took, VariableUse, Variables};
use chorus_system::dynamic::{base_of, flush_c_streams};
use chorus_system::process::cpu_micros;
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use std::collections::HashSet;
use std::error::Error;
use std::ffi::{c_int, c_void};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Takes and returns evcxr's store of variables, which is null before the first cell that needs it.
type EntryOfCell = unsafe extern "C" fn(*mut c_void) -> *mut c_void;
type Function = unsafe extern "C" fn();
/// What libraries of dependencies have to be told of.
type Restored = unsafe extern "C" fn();
/// Says what each variable of a store takes, to whoever is passed in.
type Sizes = unsafe extern "C" fn(*const c_void, extern "C" fn(*mut c_void, &px::host::VariableSize), *mut c_void);
type Attach = unsafe extern "C" fn(*const px::host::Host);

/// What was loaded, and what cells leave for each other.
pub struct Objects {
    preloaded: HashSet<PathBuf>,
    restored: Vec<Restored>,
    variables: *mut c_void,
    /// Of the object that was loaded last.
    sizes: Option<Sizes>,
    /// Whether any object has statics that it shares with others.
    statics: bool,
}

impl Default for Objects {
    fn default() -> Objects {
        let (preloaded, restored, variables) = (HashSet::new(), Vec::new(), std::ptr::null_mut());
        Objects { preloaded, restored, variables, sizes: None, statics: false }
    }
}

/// What is to be called.
#[derive(Clone, Copy)]
enum Loaded {
    Cell(EntryOfCell),
    Function(Function),
    /// One that is given the variables.
    Step(Function),
}

/// A loaded object, ready to be called.
pub struct Cell {
    entry: Loaded,
    /// What is called before a function, as a cell's own entry does it for a cell.
    begin: Option<Function>,
    flush: Option<Flush>,
    /// Lets go of what is the run's only.
    end: Option<Function>,
}

impl Cell {
    /// What flushes the cell's stdout.
    pub fn flush(&self) -> Option<Flush> {
        self.flush
    }
}

impl Objects {
    /// Whether cells have left values for each other, in variables or statics.
    pub fn have_values(&self) -> bool {
        self.statics || !self.variables.is_null()
    }

    /// What the cells' variables take. To be called while no cell runs.
    pub fn variables(&self) -> Variables {
        let mut all = Vec::<VariableUse>::new();
        if let Some(sizes) = self.sizes.filter(|_| !self.variables.is_null()) {
            // SAFETY: the store is that of px's, which nobody changes between runs; `note` gets the `Vec`, which outlives
            // the call.
            unsafe { sizes(self.variables, note, (&raw mut all).cast()) };
        }
        Variables::new(all)
    }

    /// Tells the libraries that this process goes on from a snapshot: what comes of random numbers is to differ from what
    /// came of them after it.
    pub fn restored(&self) {
        for restored in &self.restored {
            // SAFETY: takes nothing, and may be called in any thread.
            unsafe { restored() };
        }
    }

    /// Loads an object and what it needs, and attaches it to this worker. An error is a sentence.
    pub fn load(&mut self, preload: &[PathBuf], object: &Path, entry: &Entry) -> Result<Cell, String> {
        for library in preload {
            if !self.preloaded.contains(library) {
                let opened = open(library, RTLD_NOW | RTLD_GLOBAL)?;
                // SAFETY: libraries of dependencies have it with this type.
                self.restored
                    .extend(unsafe { opened.get::<Restored>(b"chorus_restored").ok() }.map(|restored| *restored));
                self.preloaded.insert(library.clone());
            }
        }
        // Of a static that several objects have, the first one is that of all.
        let library = open(object, RTLD_NOW | RTLD_GLOBAL)?;
        // SAFETY: px gave all of them these types.
        let (sizes, attach, flush, end) = unsafe {
            (
                library.get::<Sizes>(b"chorus_px_sizes").ok(),
                library.get::<Attach>(b"chorus_px_attach").ok(),
                library.get::<Flush>(b"chorus_px_flush").ok(),
                library.get::<Function>(b"chorus_px_end").ok(),
            )
        };
        self.sizes = sizes.map(|sizes| *sizes).or(self.sizes);
        // SAFETY: it is only asked whether it is there.
        self.statics |= unsafe { library.get::<*const u8>(b"chorus_statics") }.is_ok();
        let entry = match entry {
            Entry::Cell(symbol) => {
                // SAFETY: the compiler gave the entry this type.
                let entry = unsafe { library.get::<EntryOfCell>(symbol.as_bytes()) };
                Loaded::Cell(*entry.map_err(|error| sentence(object, &error))?)
            }
            Entry::Function(offset) | Entry::Step { function: offset, .. } => {
                let base = attach.as_ref().and_then(|attach| base_of(**attach as usize));
                let lacking = || format!("{} has no function for engines: it isn't a cell's object", object.display());
                let address = base.ok_or_else(lacking)? + *offset as usize;
                // SAFETY: px, in the notebook's worker, found a function of this type so far behind the beginning of
                // this very file, whose name is the hash of its contents.
                let function = unsafe { std::mem::transmute::<usize, Function>(address) };
                if matches!(entry, Entry::Step { .. }) { Loaded::Step(function) } else { Loaded::Function(function) }
            }
        };
        if let Some(attach) = &attach {
            // SAFETY: the host is a static.
            unsafe { attach(report::host()) };
        }
        report::set_object(match entry {
            Loaded::Cell(entry) => entry as usize,
            Loaded::Function(function) | Loaded::Step(function) => function as usize,
        });
        // SAFETY: the compiler gave it this type.
        let begin = unsafe { library.get::<Function>(b"chorus_function_begins").ok() }.map(|begin| *begin);
        Ok(Cell { entry, begin, flush: flush.map(|flush| *flush), end: end.map(|end| *end) })
    }

    /// Calls a cell and returns what this took.
    pub fn call(&mut self, cell: &Cell) -> Took {
        let (begin, (user, system)) = (Instant::now(), cpu_micros());
        // SAFETY: the compiler generated the entry for the store that the cells before it have left, and a function
        // takes nothing. A cell's own unsafe code can do anything: that is why it runs in this process and not in the
        // supervisor's.
        unsafe {
            if let (Loaded::Function(_) | Loaded::Step(_), Some(begin)) = (cell.entry, cell.begin) {
                begin();
            }
            match cell.entry {
                Loaded::Cell(entry) => self.variables = entry(self.variables),
                Loaded::Function(function) => function(),
                Loaded::Step(function) => {
                    report::set_variables(self.variables);
                    function();
                    // It may have been the first to make some.
                    self.variables = report::take_variables();
                }
            }
        }
        let wall = begin.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
        let (user_after, system_after) = cpu_micros();
        if let Some(flush) = cell.flush {
            // SAFETY: takes nothing.
            unsafe { flush() };
        }
        if let Some(end) = cell.end {
            // SAFETY: takes nothing.
            unsafe { end() };
        }
        flush_c_streams();
        Took { wall, user: user_after.saturating_sub(user), system: system_after.saturating_sub(system) }
    }
}

extern "C" fn note(all: *mut c_void, size: &px::host::VariableSize) {
    // SAFETY: px keeps the name during the call.
    let name = String::from_utf8_lossy(unsafe { size.name.bytes() }).into_owned();
    let (bytes, length) = (size.is_known.then_some(size.bytes), size.is_collection.then_some(size.length));
    // SAFETY: [`Objects::variables`] passes its `Vec` on, which nobody else uses meanwhile.
    unsafe { (*all.cast::<Vec<VariableUse>>()).push(VariableUse { name, bytes, length }) };
}

fn open(path: &Path, flags: c_int) -> Result<ManuallyDrop<Library>, String> {
    // SAFETY: runs the library's initialisers, which are the user's code, in the process that is there for it.
    let library = unsafe { Library::open(Some(path), flags) };
    library.map(ManuallyDrop::new).map_err(|error| sentence(path, &error))
}

fn sentence(path: &Path, error: &libloading::Error) -> String {
    // What the dynamic linker said is in the source.
    let detail = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    format!("{} can't be loaded: {error}{detail}", path.display())
}
