//! The worker's end of its socket, and the table through which cells reach it.
//!
//! The main thread and any thread that panics write here, so each message is written whole, under a lock.

use crate::wire::{self, FromWorker};
use chorus_protocol::Panic;
use chorus_system::dynamic::base_of;
use chorus_system::process::is_main_thread;
use px::host::{HOST_VERSION, Host, PanicReport, Text};
use std::ffi::c_void;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Of longer texts in a panic's report, this much is sent.
const TEXT_MAX: usize = 16 << 10;

/// `None` before the worker is set up. In a frozen copy, nobody is at its other end.
static CHANNEL: Mutex<Option<UnixStream>> = Mutex::new(None);

static HOST: Host = Host {
    version: HOST_VERSION,
    rank: AtomicU64::new(0),
    size: AtomicU64::new(1),
    panicked,
    displays: AtomicU64::new(0),
    ask,
    argument,
    parallel: super::parallel::run,
    gpu: crate::gpu::client::run,
    runs: AtomicU64::new(0),
    variables: AtomicPtr::new(std::ptr::null_mut()),
    failed: AtomicBool::new(false),
    group,
};

/// What the run under way was given: its argument, and what it is told of its group.
static GIVEN: Mutex<(Vec<u8>, Vec<u8>)> = Mutex::new((Vec::new(), Vec::new()));

/// Where the object of the cell that runs lies.
static OBJECT: AtomicUsize = AtomicUsize::new(0);

/// The table for cells.
pub fn host() -> &'static Host {
    &HOST
}

/// Says where messages go.
pub fn open(channel: UnixStream) {
    *lock() = Some(channel);
}

fn lock() -> MutexGuard<'static, Option<UnixStream>> {
    CHANNEL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What `px::rank()` and `px::size()` answer from now on.
pub fn set_place(rank: u32, size: u32) {
    HOST.rank.store(rank.into(), Ordering::Relaxed);
    HOST.size.store(size.into(), Ordering::Relaxed);
}

/// A run begins, or ends: whoever was to be copied before it has been copied.
pub fn turn() {
    HOST.runs.fetch_add(1, Ordering::Relaxed);
}

/// What the function that runs from now on may use of the variables; null for none.
pub fn set_variables(variables: *mut c_void) {
    HOST.variables.store(variables, Ordering::Release);
}

/// The variables after such a function, which may use them no longer.
pub fn take_variables() -> *mut c_void {
    HOST.variables.swap(std::ptr::null_mut(), Ordering::AcqRel)
}

/// Whether the run that has ended wants what it did to the variables undone.
pub fn has_failed() -> bool {
    HOST.failed.swap(false, Ordering::AcqRel)
}

/// What the run that begins now is given: its argument, and what it is told of its group.
pub fn set_given(given: (Vec<u8>, Vec<u8>)) {
    *GIVEN.lock().unwrap_or_else(PoisonError::into_inner) = given;
}

/// What runs from now on is in the object that has this address.
pub fn set_object(address: usize) {
    OBJECT.store(base_of(address).unwrap_or(0), Ordering::Relaxed);
}

/// Sends a message to the supervisor. That it can't be sent means that the supervisor is gone or that a cell closed
/// the socket; the main thread sees the same when it reads.
pub fn send(message: &FromWorker) {
    if let Some(channel) = lock().as_mut() {
        let _ = wire::write(channel, message);
    }
}

extern "C" fn ask(
    ask: *const u8,
    length: usize,
    answered: extern "C" fn(*mut c_void, *const u8, usize),
    context: *mut c_void,
) -> bool {
    // SAFETY: px passes a slice that is alive during this call.
    let ask = unsafe { std::slice::from_raw_parts(ask, length) };
    if !px::link::expects_answer(ask) {
        if !super::inbox::tell(ask) {
            return false;
        }
        let answer = px::link::Message::encode(&px::link::Answer::Ok);
        answered(context, answer.as_ptr(), answer.len());
        return true;
    }
    let Some(answer) = super::inbox::ask(ask) else { return false };
    answered(context, answer.as_ptr(), answer.len());
    true
}

extern "C" fn argument(take: extern "C" fn(*mut c_void, *const u8, usize), context: *mut c_void) {
    let argument = GIVEN.lock().unwrap_or_else(PoisonError::into_inner).0.clone();
    take(context, argument.as_ptr(), argument.len());
}

extern "C" fn group(take: extern "C" fn(*mut c_void, *const u8, usize), context: *mut c_void) {
    let group = GIVEN.lock().unwrap_or_else(PoisonError::into_inner).1.clone();
    take(context, group.as_ptr(), group.len());
}

extern "C" fn panicked(report: &PanicReport) {
    let thread = (!is_main_thread()).then(|| text(&report.thread));
    send(&FromWorker::Panic(Panic {
        message: text(&report.message),
        file: text(&report.file),
        line: report.line,
        column: report.column,
        thread,
        frames: frames(report),
    }));
}

/// The panicking functions that are the running cell's, as places in its object.
fn frames(report: &PanicReport) -> Vec<u64> {
    let object = OBJECT.load(Ordering::Relaxed);
    let frames = report.frames.iter().take(report.frame_count);
    frames.filter(|frame| base_of(**frame) == Some(object)).map(|frame| (frame - object) as u64).collect()
}

fn text(text: &Text) -> String {
    // SAFETY: px keeps the strings of a report alive during the call that passes it.
    let bytes = unsafe { text.bytes() };
    match bytes.get(..TEXT_MAX) {
        Some(start) => format!("{}[...]", String::from_utf8_lossy(start)),
        None => String::from_utf8_lossy(bytes).into_owned(),
    }
}
