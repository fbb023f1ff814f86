//! The other threads of this process: how they are stopped, and made again in a copy of it.
//!
//! A copy of a process has its memory, but only the thread that made it. So the others are stopped in a signal handler
//! first, which notes what the system knows of its thread. Their stacks, registers and all are then in memory, and in
//! the copy: each new thread is given the storage of an old one and returns from the old one's handler.
//!
//! A stopped thread may hold any lock, the allocator's as well. So from the first signal on, nothing here allocates,
//! or takes a lock, until the threads go on.

mod again;
mod loader;
mod why;

use crate::listing;
use again::{Noted, Robust};
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fmt, io, ptr};
pub use why::Unstoppable;

/// More threads aren't stopped.
const MAX: usize = 512;

/// How long all threads together may take to stop.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long threads are left alone after new ones came for all that time.
const REST: Duration = Duration::from_secs(20);

/// It is looked so often whether a thread that didn't answer is still there.
const LOOK: Duration = Duration::from_micros(500);

/// A thread that was joined is listed for a moment longer: it is looked so often whether one is left.
const CHECKS: u32 = 5;

/// Odd while threads are to be stopped. They wait for its next value.
static ROUND: AtomicU32 = AtomicU32::new(0);
/// So many of the slots are used in this round.
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// Grows with each thread that has stopped.
static ANSWERS: AtomicU32 = AtomicU32::new(0);
static SLOTS: [Slot; MAX] = [const { Slot { tid: AtomicU32::new(0), place: AtomicUsize::new(0) } }; MAX];

/// A thread that is to stop.
struct Slot {
    /// 0 for one that has ended instead.
    tid: AtomicU32,
    /// The round, which is odd, until it has stopped; then the address of its [`Noted`], which is even. One that is late
    /// and comes in another round finds another number, and doesn't stop.
    place: AtomicUsize,
}

/// All other threads of this process, stopped. They go on when this is dropped. Until then, this thread must not need
/// anything that one of them may hold, such as memory from the allocator.
pub struct Stopped {
    mask: libc::sigset_t,
    robust: Robust,
}

/// What stops threads. Those of this program that block signals must not block it.
pub(crate) fn signal() -> c_int {
    libc::SIGRTMAX() - 1
}

/// Stops all threads but this one, which must be the only one that calls this. Those that can't be stopped are not harmed,
/// nor are the others.
pub fn stop() -> Result<Stopped, Unstoppable> {
    let tasks = listing::folder(c"/proc/self/task")?;
    if !again::is_possible() || !loader::find() {
        return stop_none(&tasks);
    }
    let others = others(&tasks)?;
    if others.len() > MAX {
        return Err(Unstoppable::Many);
    }
    why::wait_until_none_blocks(others.into_iter())?;
    install()?;
    let stopped = Stopped::begin();
    match stopped.all(&tasks) {
        Ok(()) => Ok(stopped),
        Err(why) => {
            // From here on, there is memory again.
            drop(stopped);
            Err(match why {
                Unstopped::Many => Unstoppable::Many,
                Unstopped::Restless => Unstoppable::Restless(Instant::now() + REST),
                Unstopped::Silent(tid) => Unstoppable::thread(tid),
                Unstopped::System(error) => Unstoppable::System(error),
            })
        }
    }
}

/// Where threads can't be made again, there must be none.
fn stop_none(tasks: &OwnedFd) -> Result<Stopped, Unstoppable> {
    if lasting(tasks)? { Err(Unstoppable::Unsupported) } else { Ok(Stopped::begin()) }
}

/// How many others there are now, those that are about to be gone among them.
pub fn number() -> io::Result<usize> {
    Ok(others(&listing::folder(c"/proc/self/task")?)?.len())
}

/// Whether there are others that aren't about to be gone.
pub fn exist() -> io::Result<bool> {
    lasting(&listing::folder(c"/proc/self/task")?)
}

fn lasting(tasks: &OwnedFd) -> io::Result<bool> {
    for _ in 0..CHECKS {
        if others(tasks)?.is_empty() {
            return Ok(false);
        }
        std::thread::sleep(LOOK);
    }
    Ok(true)
}

fn others(tasks: &OwnedFd) -> io::Result<Vec<u32>> {
    let me = tid();
    let mut listed = Vec::new();
    listing::numbers(tasks, |tid| listed.push(tid))?;
    listed.retain(|&tid| tid != me);
    Ok(listed)
}

/// As [`Unstoppable`], without memory of its own.
enum Unstopped {
    Many,
    Restless,
    Silent(u32),
    System(io::Error),
}

impl Stopped {
    fn begin() -> Stopped {
        // In this order: whoever sees the new round finds no slot of an older one.
        COUNT.store(0, Ordering::Relaxed);
        ROUND.fetch_add(1, Ordering::SeqCst);
        Stopped { mask: block_signals(), robust: Robust::of_this_thread() }
    }

    /// Stops those that are listed until no new ones are.
    fn all(&self, tasks: &OwnedFd) -> Result<(), Unstopped> {
        let me = tid();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (mut added, mut room) = (false, true);
            let listed = listing::numbers(tasks, |tid| {
                if tid != me && !slots().any(|slot| slot.tid.load(Ordering::Relaxed) == tid) {
                    room &= ask(tid);
                    added = true;
                }
            });
            listed.map_err(Unstopped::System)?;
            if !room {
                return Err(Unstopped::Many);
            }
            wait_for_answers(deadline)?;
            let running = slots().filter(|slot| slot.tid.load(Ordering::Relaxed) != 0).count();
            // A list may lack threads if others end while it is made, so they are counted as well.
            let counted = count(tasks).map_err(Unstopped::System)?;
            if !added && counted == running + 1 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Unstopped::Restless);
            }
            if !added {
                // One is about to be gone.
                std::thread::sleep(LOOK);
            }
        }
    }

    /// Makes the threads again; they go on when all are there. After an error, none does.
    ///
    /// # Safety
    ///
    /// This must be a copy of the process that was made while they were stopped. And the original must be dead, since the
    /// two would be woken in place of each other; or no thread waits for anything that both still have, which isn't so of
    /// locks.
    pub unsafe fn make_again(self) -> io::Result<()> {
        // The system doesn't copy it, and the C library believes that it has it.
        self.robust.register();
        let alive = || slots().filter(|slot| slot.tid.load(Ordering::Relaxed) != 0).zip(loader::NOBODY..);
        // By way of numbers that nobody has: one's new number may be another's old one.
        for (slot, between) in alive() {
            // SAFETY: no other thread is there.
            unsafe { loader::hand_over(slot.tid.load(Ordering::Relaxed), between) };
        }
        for (slot, between) in alive() {
            let place = slot.place.load(Ordering::Acquire) as *const Noted;
            // SAFETY: the thread had stopped, so its place is where it says, and in the copy nobody else has its stack.
            // All signals have been blocked since. Those that are there already wait for the end of the round.
            let made = unsafe { again::again(place).map(|()| loader::hand_over(between, again::number(place))) };
            if let Err(error) = made {
                std::mem::forget(self);
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        ROUND.fetch_add(1, Ordering::SeqCst);
        wake(&ROUND);
        // SAFETY: the mask is one that the system gave.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.mask, ptr::null_mut()) };
    }
}

impl fmt::Debug for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stopped")
    }
}

fn slots() -> impl Iterator<Item = &'static Slot> {
    SLOTS.iter().take(COUNT.load(Ordering::Acquire))
}

/// Sends a thread the signal; false if there is no slot left for it.
fn ask(tid: u32) -> bool {
    let count = COUNT.load(Ordering::Relaxed);
    let Some(slot) = SLOTS.get(count) else { return false };
    slot.tid.store(tid, Ordering::Relaxed);
    slot.place.store(ROUND.load(Ordering::Relaxed) as usize, Ordering::Release);
    // What was stored before is seen by whoever sees this.
    COUNT.store(count + 1, Ordering::Release);
    if !send(tid, signal()) {
        slot.tid.store(0, Ordering::Relaxed);
    }
    true
}

fn wait_for_answers(deadline: Instant) -> Result<(), Unstopped> {
    let round = ROUND.load(Ordering::Relaxed) as usize;
    loop {
        let answers = ANSWERS.load(Ordering::SeqCst);
        let mut silent = None;
        for slot in slots().filter(|slot| slot.place.load(Ordering::Acquire) == round) {
            match slot.tid.load(Ordering::Relaxed) {
                0 => {}
                tid if send(tid, 0) => silent = Some(tid),
                _ => slot.tid.store(0, Ordering::Relaxed),
            }
        }
        let Some(tid) = silent else { return Ok(()) };
        if Instant::now() >= deadline {
            return Err(Unstopped::Silent(tid));
        }
        wait(&ANSWERS, answers, Some(LOOK));
    }
}

/// In each thread that is to stop.
extern "C" fn on_signal(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    let round = ROUND.load(Ordering::SeqCst);
    let me = tid();
    // In an even round it is late, and nobody waits for it any more.
    if let Some(slot) = slots().find(|slot| round % 2 == 1 && slot.tid.load(Ordering::Relaxed) == me) {
        again::stay(context, round, slot);
    }
}

/// Says where this thread has noted itself, and waits for the round's end; returns at once if that is over.
fn wait_for_stop_at(slot: &Slot, place: *const Noted, round: u32) {
    // What was noted is seen by whoever sees the place.
    if slot.place.compare_exchange(round as usize, place as usize, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
        ANSWERS.fetch_add(1, Ordering::SeqCst);
        wake(&ANSWERS);
        wait_for_end_of(round);
    }
}

fn wait_for_end_of(round: u32) {
    while ROUND.load(Ordering::SeqCst) == round {
        wait(&ROUND, round, None);
    }
}

/// Has the signal handled, from now on: one that comes late would end the process otherwise.
fn install() -> Result<(), Unstoppable> {
    let handler = on_signal as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as libc::sighandler_t;
    // SAFETY: an action of zeros is valid; the handler only makes system calls, and touches memory that is always there.
    unsafe {
        let mut before: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(signal(), ptr::null(), &raw mut before) != 0 {
            return Err(io::Error::last_os_error().into());
        }
        if before.sa_sigaction == handler {
            return Ok(());
        }
        if ![libc::SIG_DFL, libc::SIG_IGN].contains(&before.sa_sigaction) {
            return Err(Unstoppable::Handled);
        }
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        // A thread's own stack may be short.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigfillset(&raw mut action.sa_mask);
        match libc::sigaction(signal(), &raw const action, ptr::null_mut()) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error().into()),
        }
    }
}

/// How many threads there are: a folder has two links, and one for each folder in it.
fn count(tasks: &OwnedFd) -> io::Result<usize> {
    Ok(usize::try_from(nix::sys::stat::fstat(tasks)?.st_nlink).unwrap_or(usize::MAX).saturating_sub(2))
}

fn tid() -> u32 {
    nix::unistd::gettid().as_raw().cast_unsigned()
}

/// False if the thread has ended. The signal 0 only asks for that. One for which the system has no room isn't answered.
fn send(tid: u32, signal: c_int) -> bool {
    let pid = std::process::id();
    // SAFETY: takes numbers only.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signal) };
    sent == 0 || nix::errno::Errno::last() != nix::errno::Errno::ESRCH
}

fn block_signals() -> libc::sigset_t {
    let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: both are filled in.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        before.assume_init()
    }
}

/// Waits while the number is this one, for so long at most.
fn wait(number: &AtomicU32, value: u32, limit: Option<Duration>) {
    let limit = limit.map(|limit| libc::timespec { tv_sec: 0, tv_nsec: limit.subsec_nanos().into() });
    let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the number is a static, and the limit outlives the call.
    unsafe { libc::syscall(libc::SYS_futex, number.as_ptr(), operation, value, limit) };
}

fn wake(number: &AtomicU32) {
    // SAFETY: the number is a static.
    unsafe { libc::syscall(libc::SYS_futex, number.as_ptr(), libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, c_int::MAX) };
}
