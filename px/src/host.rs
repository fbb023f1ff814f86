//! The C side of this crate: the table through which a worker serves cells, and the functions that the worker calls.
//!
//! Nothing in here is for cells.

use crate::link::{Answer, Ask, GpuAnswer, Message as _};
use crate::store::{Measured, VariableStore, create_variable_store};
use std::any::Any;
use std::cell::Cell;
use std::ffi::c_void;
use std::io::Write;
use std::panic::PanicHookInfo;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

/// The version of [`Host`] that this crate needs. A host of a later version begins with the same fields.
pub const HOST_VERSION: u32 = 8;

/// The table through which a worker serves cells. It lives as long as the worker.
#[repr(C)]
pub struct Host {
    /// [`HOST_VERSION`] of the worker.
    pub version: u32,
    /// What [`crate::rank`] answers. It is set before each run, while threads of earlier runs may read it.
    pub rank: AtomicU64,
    /// What [`crate::size`] answers.
    pub size: AtomicU64,
    /// Is called by a thread that panics, before it unwinds. The report is valid during the call only.
    pub panicked: extern "C" fn(&PanicReport),
    /// How many displays got a name so far, in all objects of this worker.
    pub displays: AtomicU64,
    /// Asks whoever runs this worker: an encoded [`crate::link::Ask`] of so many bytes. Blocks until the encoded
    /// [`crate::link::Answer`] is there, passes it to `answered` together with `context`, and returns true; false when
    /// nobody can answer. Any thread may call it.
    pub ask:
        extern "C" fn(*const u8, usize, answered: extern "C" fn(*mut c_void, *const u8, usize), *mut c_void) -> bool,
    /// Passes the argument of the run under way, such as an encoded [`crate::link::Serve`], to `take`.
    pub argument: extern "C" fn(take: extern "C" fn(*mut c_void, *const u8, usize), *mut c_void),
    /// Calls `work(context, n)` for each n below a count, on so many threads, and returns when all have returned.
    /// `work` must not unwind.
    pub parallel: extern "C" fn(threads: usize, count: usize, work: extern "C" fn(*mut c_void, usize), *mut c_void),
    /// Asks the process that has the GPU, and passes the encoded [`GpuAnswer`] to `answered`. Blocks; any thread may call it.
    pub gpu: extern "C" fn(&GpuCall, answered: extern "C" fn(*mut c_void, *const u8, usize), *mut c_void),
    /// Grows when a run begins and when it ends, so it is odd while one is under way. Snapshots are made between runs.
    pub runs: AtomicU64,
    /// The [`crate::store::VariableStore`] of this worker, while a run is under way that is a function and may use it; else
    /// null.
    pub variables: AtomicPtr<c_void>,
    /// Is set by a function that was given the variables and has failed: they are to be as before the run.
    pub failed: AtomicBool,
    /// Passes the encoded [`crate::group::Info`] of the run under way to `take`; nothing if it has no group.
    pub group: extern "C" fn(take: extern "C" fn(*mut c_void, *const u8, usize), *mut c_void),
}

/// A question to the process that has the GPU, as it crosses the C ABI. All pointers are valid during the call only.
#[repr(C)]
pub struct GpuCall {
    /// An encoded [`crate::link::GpuAsk`].
    pub ask: Bytes,
    /// The code, as PTX, if it is to run.
    pub module: Bytes,
    /// The function's constants, as `px` encodes them for GPUs.
    pub constants: Bytes,
    /// What goes to the GPU.
    pub input: Bytes,
    /// Where what comes from it goes.
    pub output: *mut u8,
    /// How many bytes.
    pub output_bytes: usize,
}

/// Borrowed bytes, some of which may be padding, as they cross the C ABI.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Bytes {
    /// Where they begin.
    pub start: *const u8,
    /// How many.
    pub length: usize,
}

impl Bytes {
    /// None.
    pub const NONE: Bytes = Bytes { start: std::ptr::NonNull::dangling().as_ptr(), length: 0 };

    /// Those of values in memory.
    pub fn of<T>(values: &[T]) -> Bytes {
        Bytes { start: values.as_ptr().cast(), length: size_of_val(values) }
    }

    /// The bytes.
    ///
    /// # Safety
    /// What this was made of must still be there.
    pub unsafe fn get<'a>(self) -> &'a [u8] {
        // SAFETY: made of a slice, which the caller promises to be there. Padding is bytes to whoever only copies it.
        unsafe { std::slice::from_raw_parts(self.start, self.length) }
    }
}

/// A panic, as it crosses the C ABI.
#[repr(C)]
pub struct PanicReport {
    /// What was passed to `panic!`.
    pub message: Text,
    /// The source file.
    pub file: Text,
    /// The thread's name; empty when it has none.
    pub thread: Text,
    /// 1-based.
    pub line: u32,
    /// 1-based.
    pub column: u32,
    /// Where the functions that are being called go on, the innermost first.
    pub frames: [usize; FRAMES],
    /// How many there are in `frames`.
    pub frame_count: usize,
}

impl PanicReport {
    /// Of the cell's own thread; `message` and `file` must outlive it.
    pub(crate) fn without_calls(message: &str, file: &str, line: u32, column: u32) -> PanicReport {
        let thread = Text::new("");
        let (message, file) = (Text::new(message), Text::new(file));
        PanicReport { message, file, thread, line, column, frames: [0; FRAMES], frame_count: 0 }
    }
}

/// So many functions of a panic's call stack are reported.
pub const FRAMES: usize = 96;

/// A borrowed UTF-8 string, as it crosses the C ABI.
#[repr(C)]
pub struct Text {
    start: *const u8,
    length: usize,
}

impl Text {
    fn new(text: &str) -> Text {
        Text { start: text.as_ptr(), length: text.len() }
    }

    /// The string's bytes.
    ///
    /// # Safety
    /// The string that this was made from must still be alive.
    pub unsafe fn bytes(&self) -> &[u8] {
        // SAFETY: made from a `&str`, which the caller promises to be alive.
        unsafe { std::slice::from_raw_parts(self.start, self.length) }
    }
}

static HOST: AtomicPtr<Host> = AtomicPtr::new(std::ptr::null_mut());

pub(crate) fn host() -> Option<&'static Host> {
    // SAFETY: null, or set by `chorus_px_attach` to a host that lives as long as the process.
    unsafe { HOST.load(Ordering::Acquire).as_ref() }
}

/// What [`chorus_px_attach`] does, but for the panic hook, which is the tests'.
#[cfg(test)]
pub(crate) fn attach_in_test(host: &'static Host) {
    HOST.store((&raw const *host).cast_mut(), Ordering::Release);
}

/// Asks whoever runs this worker. None if nobody can answer, or what is answered isn't an [`Answer`].
pub(crate) fn ask(ask: &Ask) -> Option<Answer> {
    let bytes = ask.encode();
    let mut answer = Vec::new();
    let asked = (host()?.ask)(bytes.as_ptr(), bytes.len(), append, (&raw mut answer).cast());
    if asked { Answer::decode(&answer).ok() } else { None }
}

/// Asks the process that has the GPU. An error is a sentence.
pub(crate) fn gpu(call: &GpuCall) -> Result<GpuAnswer, String> {
    let mut answer = Vec::new();
    let host = host().ok_or("there is no engine here that could have a GPU")?;
    (host.gpu)(call, append, (&raw mut answer).cast());
    match GpuAnswer::decode(&answer) {
        Ok(GpuAnswer::Failed(sentence)) => Err(sentence),
        Ok(answer) => Ok(answer),
        Err(damaged) => Err(damaged.to_string()),
    }
}

/// The number of the run under way. What was made in it is in no snapshot. None between runs, where a thread may be at work
/// that a cell has left, and a snapshot be made at any time.
pub(crate) fn run_under_way() -> Option<u64> {
    let number = host()?.runs.load(Ordering::Relaxed);
    (number % 2 == 1).then_some(number)
}

/// The number of the run that this object was loaded for last.
static RUN: AtomicU64 = AtomicU64::new(0);

/// [`run_under_way`], if it is this object's: threads that cells have left may be at work in others.
pub(crate) fn own_run() -> Option<u64> {
    run_under_way().filter(|run| *run == RUN.load(Ordering::Relaxed))
}

/// The argument of the run under way; nothing if there is none.
pub(crate) fn argument() -> Vec<u8> {
    let mut argument = Vec::new();
    if let Some(host) = host() {
        (host.argument)(append, (&raw mut argument).cast());
    }
    argument
}

/// What the run under way is told of its group; nothing if it has none.
pub(crate) fn group() -> Vec<u8> {
    let mut group = Vec::new();
    if let Some(host) = host() {
        (host.group)(append, (&raw mut group).cast());
    }
    group
}

/// The variables that the run under way may use; null if it may use none, or if there are none.
#[cfg(not(test))]
pub(crate) fn variables() -> *mut VariableStore {
    host().map_or(std::ptr::null_mut(), |host| host.variables.load(Ordering::Acquire).cast())
}

/// Makes the store of this worker's variables, which has none yet, in a run that may use it.
pub(crate) fn make_variables() -> Option<NonNull<VariableStore>> {
    let store = create_variable_store();
    host()?.variables.store(store.cast(), Ordering::Release);
    NonNull::new(store)
}

/// Those of the test that runs in this thread.
#[cfg(test)]
pub(crate) fn variables() -> *mut VariableStore {
    crate::task::tests::variables().cast()
}

extern "C" fn append(to: *mut c_void, bytes: *const u8, length: usize) {
    if length > 0 {
        // SAFETY: the host passes on the pointer to the caller's `Vec`, which waits, and bytes that are valid meanwhile.
        unsafe { (*to.cast::<Vec<u8>>()).extend_from_slice(std::slice::from_raw_parts(bytes, length)) }
    }
}

/// Calls `work` for each number below `count`, on so many of the host's threads. It must not panic.
pub(crate) fn parallel<F: Fn(usize) + Sync>(threads: usize, count: usize, work: &F) {
    extern "C" fn call<F: Fn(usize) + Sync>(work: *mut c_void, n: usize) {
        // SAFETY: `parallel` passes its `work`, which may be shared between threads, and returns after the last call.
        unsafe { (*work.cast::<F>())(n) }
    }
    match host() {
        Some(host) => (host.parallel)(threads, count, call::<F>, (&raw const *work).cast_mut().cast()),
        None => (0..count).for_each(work),
    }
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Calls `work`, whose panics are reported only if `loud`: others are what the caller expects. Returns what the panic said.
pub(crate) fn catch<T>(loud: bool, work: impl FnOnce() -> T) -> Result<T, String> {
    let before = QUIET.replace(!loud);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    QUIET.set(before);
    outcome.map_err(said)
}

/// Not compiled in each cell.
#[inline(never)]
fn said(payload: Box<dyn Any + Send>) -> String {
    let said = message(&*payload).to_owned();
    discard(payload);
    said
}

/// Lets go of what was passed to `panic!`. A value of the user's stays where it is: its `Drop` may panic, too, which would
/// end the process in a function that must not unwind.
#[inline(never)]
pub fn discard(payload: Box<dyn Any + Send>) {
    if !payload.is::<&str>() && !payload.is::<String>() {
        std::mem::forget(payload);
    }
}

/// What was passed to `panic!`.
fn message(payload: &(dyn Any + Send)) -> &str {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "a value that isn't a string",
    }
}

/// Is called by the worker when it has loaded the object, before it calls the cell.
///
/// # Safety
/// `host` must point to a [`Host`] that is never freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chorus_px_attach(host: *const Host) {
    // SAFETY: the caller promises that `host` is valid; `version` stays the first field in all versions.
    if unsafe { (*host).version } < HOST_VERSION {
        return;
    }
    HOST.store(host.cast_mut(), Ordering::Release);
    // SAFETY: as above.
    RUN.store(unsafe { (*host).runs.load(Ordering::Relaxed) } + 1, Ordering::Relaxed);
    std::panic::set_hook(Box::new(report));
}

/// Is called by the worker while the cell runs and when it has returned, so that `print!` without a newline shows.
#[unsafe(no_mangle)]
pub extern "C" fn chorus_px_flush() {
    // A cell may have closed its stdout; there is nobody to tell.
    let _ = std::io::stdout().flush();
}

/// What a variable takes, as it crosses the C ABI.
#[repr(C)]
pub struct VariableSize {
    /// Its name.
    pub name: Text,
    /// The bytes; 0 if that isn't known.
    pub bytes: u64,
    /// Whether it is.
    pub is_known: bool,
    /// How many values it has, if it is a collection.
    pub length: u64,
    /// Whether it is.
    pub is_collection: bool,
}

/// Is called by the worker between two runs, to know what each variable takes.
///
/// # Safety
/// `store` must be the store of variables of this version of px, and nobody may change it meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chorus_px_sizes(
    store: *const c_void,
    tell: extern "C" fn(*mut c_void, &VariableSize),
    context: *mut c_void,
) {
    // SAFETY: the caller promises it.
    let Some(store) = (unsafe { store.cast::<VariableStore>().as_ref() }) else { return };
    store.sizes(|name, Measured { bytes, length }| {
        let size = VariableSize {
            name: Text::new(name),
            bytes: bytes.unwrap_or(0) as u64,
            is_known: bytes.is_some(),
            length: length.unwrap_or(0) as u64,
            is_collection: length.is_some(),
        };
        tell(context, &size);
    });
}

/// Is called by the worker when the cell has returned, and what it prints was flushed.
#[unsafe(no_mangle)]
pub extern "C" fn chorus_px_end() {
    crate::group::end();
}

/// The cell's own source, as rustc names it.
const SOURCE: &str = "src/lib.rs";

fn report(info: &PanicHookInfo<'_>) {
    if QUIET.get() {
        return;
    }
    let Some(host) = host() else { return };
    let message = message(info.payload());
    let (file, line, column) = info.location().map_or(("", 0, 0), |at| (at.file(), at.line(), at.column()));
    crate::group::note_panic(message, (file == SOURCE).then_some(line));
    let thread = std::thread::current();
    let mut stack = Stack { frames: [0; FRAMES], count: 0 };
    // SAFETY: `push_frame` gets the pointer that is passed here, during this call only.
    unsafe { _Unwind_Backtrace(push_frame, (&raw mut stack).cast()) };
    (host.panicked)(&PanicReport {
        message: Text::new(message),
        file: Text::new(file),
        thread: Text::new(thread.name().unwrap_or("")),
        line,
        column,
        frames: stack.frames,
        frame_count: stack.count,
    });
}

struct Stack {
    frames: [usize; FRAMES],
    count: usize,
}

// libgcc_s, which unwinds panics too. std's Backtrace knows only the libraries that were there at its first use.
unsafe extern "C" {
    fn _Unwind_Backtrace(visit: extern "C" fn(*mut c_void, *mut c_void) -> i32, data: *mut c_void) -> i32;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
}

extern "C" fn push_frame(context: *mut c_void, stack: *mut c_void) -> i32 {
    const GO_ON: i32 = 0;
    const STOP: i32 = 4;
    // SAFETY: `report` passes a `Stack` that nobody else uses meanwhile.
    let stack = unsafe { &mut *stack.cast::<Stack>() };
    let Some(frame) = stack.frames.get_mut(stack.count) else { return STOP };
    // SAFETY: the unwinder passes a valid context.
    *frame = unsafe { _Unwind_GetIP(context) };
    stack.count += 1;
    GO_ON
}
