//! What a thread notes of itself when it stops, and how a thread is made of that again.

use super::wait_for_stop_at;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicIsize, Ordering};
use std::{io, ptr};

/// Where threads can be made again: this takes a few instructions that each processor has its own of, and what is noted
/// is what glibc tells the system of a thread.
const SUPPORTED: bool = cfg!(all(target_arch = "x86_64", target_pointer_width = "64", target_env = "gnu"));

/// Where glibc has told the system to write a thread's processor (rseq), from its thread pointer; 0 if nowhere.
static RSEQ: AtomicIsize = AtomicIsize::new(0);

/// What a thread has noted of itself. It lies on its stack, and what lies below is no longer needed in a copy.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "nothing is made of it"))]
#[repr(C, align(16))]
pub struct Noted {
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
pub struct Robust {
    head: *mut c_void,
    length: usize,
}

/// Whether threads can be made again here. Finds out what that takes.
pub fn is_possible() -> bool {
    let possible = SUPPORTED && !tid_address().is_null() && !has_shadow_stack();
    if possible {
        find_rseq();
    }
    possible
}

/// In a signal handler that was given this context: notes this thread, says so by way of `slot`, and returns when the
/// round is over.
pub fn stay(context: *mut c_void, round: u32, slot: &super::Slot) {
    // SAFETY: the C library gives each thread a valid place of its own.
    let errno = unsafe { libc::__errno_location() };
    let mut place = Noted {
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
    wait_for_stop_at(slot, &raw const place, round);
    // SAFETY: as above.
    unsafe { *errno = place.errno };
}

/// In each thread that was made again, with the storage of the old one and all signals blocked. Returns what it is to
/// return to.
#[cfg(target_arch = "x86_64")]
extern "C" fn returned(place: &Noted) -> *mut c_void {
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
    super::wait_for_end_of(place.round);
    // SAFETY: the storage is the old thread's, and so is the place within.
    unsafe { *libc::__errno_location() = place.errno };
    place.context
}

/// What every system and glibc on x86-64 agree on.
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
pub unsafe fn again(place: *const Noted) -> io::Result<()> {
    let flags = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM
        | libc::CLONE_SETTLS
        | libc::CLONE_PARENT_SETTID
        | libc::CLONE_CHILD_CLEARTID;
    // SAFETY: the caller vouches for the place.
    let (tid, storage) = unsafe { ((*place).tid, (*place).storage) };
    let result: isize;
    // SAFETY: in this thread, this is a system call. The new one begins behind it with this one's registers, on the old one's
    // stack: its stack pointer is at its place, which is aligned, and below that are only frames of the handler that has
    // noted it, to which nothing returns. It calls a function, and returns from the signal handler: for that, the system
    // wants the stack pointer to be at the context, as it is when a handler has returned.
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

/// # Safety
///
/// None is needed: there is no way.
#[cfg(not(target_arch = "x86_64"))]
pub unsafe fn again(_: *const Noted) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The number of a thread that was made again.
///
/// # Safety
///
/// The place must be its own, and it waits for the end of the round.
pub unsafe fn number(place: *const Noted) -> u32 {
    // SAFETY: the caller vouches for the place, and the system has written the number.
    unsafe { (*place).tid.as_ref().map_or(0, |tid| tid.cast_unsigned()) }
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

/// Whether the processor keeps a second stack of return addresses, on which a thread that is made again would not find
/// its own.
#[cfg(target_arch = "x86_64")]
fn has_shadow_stack() -> bool {
    const ARCH_SHSTK_STATUS: c_int = 0x5005;
    let mut features = 0u64;
    // SAFETY: the system writes one number; one that doesn't know the question writes none.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SHSTK_STATUS, &raw mut features) };
    features != 0
}

#[cfg(not(target_arch = "x86_64"))]
fn has_shadow_stack() -> bool {
    false
}

impl Robust {
    /// What this thread has registered.
    pub fn of_this_thread() -> Robust {
        let mut robust = Robust { head: ptr::null_mut(), length: 0 };
        // SAFETY: the system writes a pointer and a number.
        unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut robust.head, &raw mut robust.length) };
        robust
    }

    /// Registers it for this thread.
    pub fn register(self) {
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
