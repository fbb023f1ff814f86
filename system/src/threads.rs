//! The other threads of this process: how they are stopped, and made again in a copy of it.
//!
//! A copy of a process has its memory, but only the thread that made it. So the others are stopped in a signal handler
//! first, which notes what the system knows of its thread. Their stacks, registers and all are then in memory, and in
//! the copy: each new thread is given the storage of an old one and returns from the old one's handler.
//!
//! A stopped thread may hold any lock, the allocator's as well. So from the first signal on, nothing here allocates,
//! or takes a lock, until the threads go on.

use crate::listing;
use std::ffi::{c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicIsize, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fmt, ptr};

/// Where threads can be made again: this takes a few instructions that each processor has its own of.
const SUPPORTED: bool = cfg!(all(target_arch = "x86_64", target_pointer_width = "64"));

/// More threads aren't stopped.
const MAX: usize = 512;

/// How long all threads together may take to stop.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a thread may block the signal: those do that are being started, start a process, or come back from a stop.
const BLOCKING: Duration = Duration::from_millis(300);

/// It is looked so often whether a thread that didn't answer is still there.
const LOOK: Duration = Duration::from_millis(1);

/// Odd while threads are to be stopped. They wait for its next value.
static ROUND: AtomicU32 = AtomicU32::new(0);
/// So many of the slots are used in this round.
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// Grows with each thread that has stopped.
static ANSWERS: AtomicU32 = AtomicU32::new(0);
static SLOTS: [Slot; MAX] = [const { Slot { tid: AtomicU32::new(0), place: AtomicUsize::new(0) } }; MAX];
/// Where glibc has told the system to write a thread's processor (rseq), from its thread pointer; 0 if nowhere.
static RSEQ: AtomicIsize = AtomicIsize::new(0);

/// A thread that is to stop.
struct Slot {
    /// 0 for one that has ended instead.
    tid: AtomicU32,
    /// The round, which is odd, until it has stopped; then the address of its [`Place`], which is even. One that is late
    /// and comes in another round finds another number, and doesn't stop.
    place: AtomicUsize,
}

/// What a thread has noted of itself. It lies on its stack, and what lies below is no longer needed in a copy.
#[repr(C, align(16))]
struct Place {
    /// What the handler returns to, where the system has put it.
    context: *mut c_void,
    round: u32,
    errno: c_int,
    /// Its thread pointer.
    storage: usize,
    /// Where the C library keeps its number; the system writes 0 there, and wakes who joins it, when it ends.
    tid: *mut c_int,
    robust: Robust,
    name: [u8; 16],
}

/// The list of locks that the system releases when a thread ends.
#[derive(Clone, Copy)]
struct Robust {
    head: *mut c_void,
    length: usize,
}

/// All other threads of this process, stopped. They go on when this is dropped. Until then, this thread must not need
/// anything that one of them may hold, such as memory from the allocator.
pub struct Stopped {
    mask: libc::sigset_t,
    robust: Robust,
}

/// Why threads can't be stopped.
#[derive(Debug)]
pub enum Unstoppable {
    /// Not on this processor, or not by this system.
    Unsupported,
    /// There are too many.
    Many,
    /// A cell handles the signal itself.
    Handled,
    /// This one doesn't stop.
    Thread {
        /// Its number.
        tid: u32,
        /// Its name.
        name: String,
        /// Whether it blocks the signal, or else doesn't come back from the system.
        blocks: bool,
    },
    /// The system refused something.
    System(io::Error),
}

impl Unstoppable {
    /// Whether the same would happen again.
    pub fn persists(&self) -> bool {
        match self {
            Unstoppable::Unsupported => true,
            Unstoppable::Thread { tid, .. } => look(*tid).is_some_and(|it| it.blocks || it.is_pending),
            _ => false,
        }
    }

    fn thread(tid: u32) -> Unstoppable {
        let (name, blocks) = look(tid).map(|it| (it.name, it.blocks)).unwrap_or_default();
        Unstoppable::Thread { tid, name, blocks }
    }
}

impl fmt::Display for Unstoppable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unstoppable::Unsupported => f.write_str("this system or processor has no way to make them again"),
            Unstoppable::Many => write!(f, "there are more than {MAX}"),
            Unstoppable::Handled => write!(f, "a cell handles signal {} itself", signal()),
            Unstoppable::Thread { name, blocks: true, .. } => write!(f, "`{name}` blocks signals"),
            Unstoppable::Thread { name, .. } => write!(f, "`{name}` doesn't come back from a system call"),
            Unstoppable::System(error) => write!(f, "{error}"),
        }
    }
}

impl From<io::Error> for Unstoppable {
    fn from(error: io::Error) -> Unstoppable {
        Unstoppable::System(error)
    }
}

/// What stops threads. Those of this program that block signals must not block it.
pub(crate) fn signal() -> c_int {
    libc::SIGRTMAX() - 1
}

/// Stops all threads but this one. Those that can't be stopped are not harmed, nor are the others.
pub fn stop() -> Result<Stopped, Unstoppable> {
    if !SUPPORTED || tid_address().is_null() {
        return Err(Unstoppable::Unsupported);
    }
    wait_until_none_blocks()?;
    let tasks = listing::folder(c"/proc/self/task")?;
    find_rseq();
    install()?;
    let stopped = Stopped::begin();
    match stopped.all(&tasks) {
        Ok(()) => Ok(stopped),
        Err(why) => {
            // From here on, there is memory again.
            drop(stopped);
            Err(match why {
                Unstopped::Many => Unstoppable::Many,
                Unstopped::Silent(tid) => Unstoppable::thread(tid),
                Unstopped::System(error) => Unstoppable::System(error),
            })
        }
    }
}

/// As [`Unstoppable`], without memory of its own.
enum Unstopped {
    Many,
    Silent(u32),
    System(io::Error),
}

impl Stopped {
    fn begin() -> Stopped {
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
                return Err(Unstopped::System(io::ErrorKind::TimedOut.into()));
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
    /// This must be a copy of the process that was made while they were stopped, and the original must be dead: the
    /// two would be woken in place of each other.
    pub unsafe fn make_again(self) -> io::Result<()> {
        self.robust.register();
        for slot in slots().filter(|slot| slot.tid.load(Ordering::Relaxed) != 0) {
            let place = slot.place.load(Ordering::Acquire) as *const Place;
            // SAFETY: the thread had stopped, so its place is where it says, and in the copy nobody else has its stack.
            if let Err(error) = unsafe { again(place) } {
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
    let Some(slot) = slots().find(|slot| round % 2 == 1 && slot.tid.load(Ordering::Relaxed) == me) else { return };
    // SAFETY: the C library gives each thread a valid place of its own.
    let errno = unsafe { libc::__errno_location() };
    let mut place = Place {
        context,
        round,
        // SAFETY: as above.
        errno: unsafe { *errno },
        storage: thread_pointer(),
        tid: tid_address(),
        robust: Robust::of_this_thread(),
        name: [0; 16],
    };
    // SAFETY: the system writes 16 bytes.
    unsafe { libc::prctl(libc::PR_GET_NAME, place.name.as_mut_ptr()) };
    let address = (&raw const place) as usize;
    if slot.place.compare_exchange(round as usize, address, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
        ANSWERS.fetch_add(1, Ordering::SeqCst);
        wake(&ANSWERS);
        wait_for_end_of(round);
    }
    // SAFETY: as above.
    unsafe { *errno = place.errno };
}

fn wait_for_end_of(round: u32) {
    while ROUND.load(Ordering::SeqCst) == round {
        wait(&ROUND, round, None);
    }
}

/// In each thread that was made again, with the storage of the old one and all signals blocked. Returns what it is to
/// return to.
#[cfg(target_arch = "x86_64")]
extern "C" fn returned(place: &Place) -> *mut c_void {
    place.robust.register();
    let rseq = RSEQ.load(Ordering::Relaxed);
    if rseq != 0 {
        let rseq = place.storage.wrapping_add_signed(rseq) as *mut u32;
        // SAFETY: glibc keeps 32 bytes there for each thread: twice the processor, and a pointer. None is known, and if
        // the system refuses, it stays so, and who asks for the processor asks the system.
        unsafe {
            rseq.write_volatile(0);
            rseq.add(1).write_volatile(u32::MAX);
            rseq.add(2).cast::<u64>().write_volatile(0);
            libc::syscall(libc::SYS_rseq, rseq, RSEQ_LENGTH, 0, RSEQ_SIGNATURE);
        }
    }
    // SAFETY: the name ends with a 0.
    unsafe { libc::prctl(libc::PR_SET_NAME, place.name.as_ptr()) };
    wait_for_end_of(place.round);
    // SAFETY: as in the handler.
    unsafe { *libc::__errno_location() = place.errno };
    place.context
}

/// What glibc registers on x86-64.
#[cfg(target_arch = "x86_64")]
const RSEQ_LENGTH: u32 = 32;
#[cfg(target_arch = "x86_64")]
const RSEQ_SIGNATURE: u32 = 0x5305_3053;

/// Makes a thread again.
///
/// # Safety
///
/// The place must be that of a thread which has stopped and isn't in this process any more. All signals are blocked.
#[cfg(target_arch = "x86_64")]
unsafe fn again(place: *const Place) -> io::Result<()> {
    let flags = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM
        | libc::CLONE_SETTLS
        | libc::CLONE_PARENT_SETTID
        | libc::CLONE_CHILD_CLEARTID;
    // SAFETY: the caller vouches for the place. Below it on its stack are only the frames of the handler that has noted it.
    let (tid, storage) = unsafe { ((*place).tid, (*place).storage) };
    let result: isize;
    // SAFETY: in this thread, this is a system call. The new one begins behind it, on the old one's stack below its place,
    // which is aligned, with this one's registers. It calls a function, and returns from the signal handler: for that, the
    // system wants the stack pointer to be at the context, as it is when a handler has returned.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call {returned}",
            "mov rsp, rax",
            "mov eax, {sigreturn}",
            "syscall",
            "ud2",
            "2:",
            returned = sym returned,
            sigreturn = const libc::SYS_rt_sigreturn,
            inlateout("rax") libc::SYS_clone as isize => result,
            in("rdi") flags as usize,
            in("rsi") place,
            in("rdx") tid,
            in("r10") tid,
            in("r8") storage,
            in("r12") place,
            out("rcx") _,
            out("r11") _,
        );
    }
    match i32::try_from(result) {
        Ok(error) if error < 0 => Err(io::Error::from_raw_os_error(-error)),
        _ => Ok(()),
    }
}

#[cfg(not(target_arch = "x86_64"))]
unsafe fn again(_: *const Place) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_arch = "x86_64")]
fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: on x86-64, a thread's storage begins with its own address.
    unsafe { std::arch::asm!("mov {}, fs:0", out(reg) pointer, options(nostack, readonly, preserves_flags)) };
    pointer
}

#[cfg(not(target_arch = "x86_64"))]
fn thread_pointer() -> usize {
    0
}

impl Robust {
    fn of_this_thread() -> Robust {
        let mut robust = Robust { head: ptr::null_mut(), length: 0 };
        // SAFETY: the system writes a pointer and a number.
        unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut robust.head, &raw mut robust.length) };
        robust
    }

    fn register(self) {
        // SAFETY: it was this thread's, or that of the one whose storage this thread has.
        unsafe { libc::syscall(libc::SYS_set_robust_list, self.head, self.length) };
    }
}

/// Where the C library keeps this thread's number; null if the system doesn't tell.
fn tid_address() -> *mut c_int {
    let mut address: *mut c_int = ptr::null_mut();
    // SAFETY: the system writes one pointer.
    unsafe { libc::prctl(libc::PR_GET_TID_ADDRESS, &raw mut address) };
    address
}

/// See [`RSEQ`].
fn find_rseq() {
    // SAFETY: both names are strings; glibc gives these variables these types.
    unsafe {
        let offset = libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_offset".as_ptr()).cast::<isize>();
        let size = libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_size".as_ptr()).cast::<u32>();
        if !offset.is_null() && !size.is_null() && *size > 0 {
            RSEQ.store(*offset, Ordering::Relaxed);
        }
    }
}

/// Has the signal handled, from now on: one that comes late would end the process otherwise.
fn install() -> Result<(), Unstoppable> {
    let handler = on_signal as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as libc::sighandler_t;
    // SAFETY: an action of zeros is valid; the handler only makes system calls, and touches memory that is always there.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let mut before: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        // A thread's own stack may be short.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigfillset(&raw mut action.sa_mask);
        if libc::sigaction(signal(), &raw const action, &raw mut before) != 0 {
            return Err(io::Error::last_os_error().into());
        }
        if ![libc::SIG_DFL, libc::SIG_IGN, handler].contains(&before.sa_sigaction) {
            libc::sigaction(signal(), &raw const before, ptr::null_mut());
            return Err(Unstoppable::Handled);
        }
    }
    Ok(())
}

/// What the system tells of a thread.
struct Looked {
    name: String,
    blocks: bool,
    is_pending: bool,
}

fn look(tid: u32) -> Option<Looked> {
    let task = procfs::process::Process::myself().ok()?.task_from_tid(tid.cast_signed()).ok()?;
    let status = task.status().ok()?;
    let bit = 1u64 << (signal() - 1);
    Some(Looked { name: status.name, blocks: status.sigblk & bit != 0, is_pending: status.sigpnd & bit != 0 })
}

fn wait_until_none_blocks() -> Result<(), Unstoppable> {
    let (me, tasks) = (tid(), listing::folder(c"/proc/self/task")?);
    let mut listed = Vec::new();
    listing::numbers(&tasks, |tid| listed.push(tid))?;
    let deadline = Instant::now() + BLOCKING;
    for tid in listed.into_iter().filter(|&tid| tid != me) {
        while look(tid).is_some_and(|it| it.blocks) {
            if Instant::now() >= deadline {
                return Err(Unstoppable::thread(tid));
            }
            std::thread::sleep(LOOK);
        }
    }
    Ok(())
}

/// How many threads there are: a folder has two links, and one for each folder in it.
fn count(tasks: &OwnedFd) -> io::Result<usize> {
    Ok(usize::try_from(nix::sys::stat::fstat(tasks)?.st_nlink).unwrap_or(usize::MAX).saturating_sub(2))
}

fn tid() -> u32 {
    nix::unistd::gettid().as_raw().cast_unsigned()
}

/// False if the thread has ended. The signal 0 only asks for that.
fn send(tid: u32, signal: c_int) -> bool {
    let pid = std::process::id();
    // SAFETY: takes numbers only.
    unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signal) == 0 }
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
