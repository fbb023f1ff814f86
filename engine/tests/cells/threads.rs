//! Cells that leave threads, and look whether these go on.

use super::Store;
use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

const WORKERS: usize = 6;
/// The workers, and those that `makes_threads` starts besides.
const THREADS: usize = WORKERS + 5;
const LIMIT: Duration = Duration::from_secs(20);

type Work = Box<dyn FnOnce() + Send>;

static QUEUE: Mutex<VecDeque<Work>> = Mutex::new(VecDeque::new());
static QUEUED: Condvar = Condvar::new();
static NEVER: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
static TICKS: AtomicU64 = AtomicU64::new(0);
static NAPS: AtomicU64 = AtomicU64::new(0);
static TURNS: AtomicU64 = AtomicU64::new(0);
static EVENTS: AtomicU64 = AtomicU64::new(0);
static EVENTFD: AtomicI32 = AtomicI32::new(-1);
static WRONG: AtomicBool = AtomicBool::new(false);
static ENDED: AtomicU64 = AtomicU64::new(0);
static ECHO: Mutex<Option<(Sender<u64>, JoinHandle<u64>)>> = Mutex::new(None);
static STUBBORN: Mutex<Option<(Sender<()>, JoinHandle<()>)>> = Mutex::new(None);

unsafe extern "C" {
    fn epoll_create1(flags: i32) -> i32;
    fn epoll_ctl(epoll: i32, operation: i32, fd: i32, event: *mut Event) -> i32;
    fn epoll_wait(epoll: i32, events: *mut Event, count: i32, timeout: i32) -> i32;
    fn eventfd(count: u32, flags: i32) -> i32;
    fn read(fd: i32, bytes: *mut u64, count: usize) -> isize;
    fn write(fd: i32, bytes: *const u64, count: usize) -> isize;
    fn clone(run: extern "C" fn(*mut u8) -> i32, stack: *mut u8, flags: i32, argument: *mut u8) -> i32;
    fn dl_iterate_phdr(each: extern "C" fn(*mut u8, usize, *mut u8) -> i32, data: *mut u8) -> i32;
    fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
    fn signal(signal: i32, handler: extern "C" fn(i32)) -> usize;
    fn __libc_current_sigrtmax() -> i32;
    fn pthread_sigmask(how: i32, mask: *const [u64; 16], old: *mut [u64; 16]) -> i32;
}

#[repr(C, packed)]
struct Event {
    events: u32,
    data: u64,
}

thread_local! {
    static LOCAL: LastWords = const { LastWords(Cell::new(0)) };
}

struct LastWords(Cell<u64>);

impl Drop for LastWords {
    fn drop(&mut self) {
        ENDED.fetch_add(self.0.get(), Ordering::SeqCst);
    }
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    Builder::new().name(name.into()).spawn(work).unwrap()
}

/// A pool as rayon has one, a timer, a sleeper, a reactor as tokio has one, one that computes, and a channel's receiver.
fn make() {
    for _ in 0..WORKERS {
        start("pool", || {
            loop {
                let mut queue = QUEUE.lock().unwrap();
                let work = loop {
                    match queue.pop_front() {
                        Some(work) => break work,
                        None => queue = QUEUED.wait(queue).unwrap(),
                    }
                };
                drop(queue);
                work();
            }
        });
    }
    start("timer", || {
        loop {
            let guard = NEVER.0.lock().unwrap();
            let begin = Instant::now();
            let (_guard, waited) = NEVER.1.wait_timeout(guard, Duration::from_millis(2)).unwrap();
            if waited.timed_out() && begin.elapsed() < Duration::from_millis(2) {
                WRONG.store(true, Ordering::SeqCst);
            }
            TICKS.fetch_add(1, Ordering::SeqCst);
        }
    });
    start("sleeper", || {
        loop {
            let begin = Instant::now();
            std::thread::sleep(Duration::from_millis(2));
            if begin.elapsed() < Duration::from_millis(2) {
                WRONG.store(true, Ordering::SeqCst);
            }
            NAPS.fetch_add(1, Ordering::SeqCst);
        }
    });
    start("computes", || {
        let mut turn = 0u64;
        loop {
            // Registers, those for floating point as well, and memory that comes and goes.
            let numbers: Vec<f64> = (0..64).map(|n| (turn % 1000 + n) as f64 * 1.5).collect();
            let sum: f64 = numbers.iter().sum();
            if sum != ((turn % 1000) * 64 + 2016) as f64 * 1.5 {
                WRONG.store(true, Ordering::SeqCst);
            }
            turn += 1;
            TURNS.store(turn, Ordering::SeqCst);
        }
    });
    let fd = unsafe { eventfd(0, 0o4000 | 0o2000000) };
    EVENTFD.store(fd, Ordering::SeqCst);
    start("reactor", move || unsafe {
        let epoll = epoll_create1(0o2000000);
        let edge = 1u32 << 31;
        assert_eq!(epoll_ctl(epoll, 1, fd, &mut Event { events: 1 | edge, data: 7 }), 0);
        loop {
            let mut event = Event { events: 0, data: 0 };
            let count = epoll_wait(epoll, &mut event, 1, -1);
            EVENTS.fetch_add(u64::from(count == 1 && event.data == 7), Ordering::SeqCst);
        }
    });
    let (sender, receiver) = channel::<u64>();
    let echo = Builder::new().name("echo".into()).spawn(move || {
        LOCAL.with(|it| it.0.set(5));
        receiver.into_iter().sum()
    });
    *ECHO.lock().unwrap() = Some((sender, echo.unwrap()));
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is() {
        if begin.elapsed() > LIMIT {
            println!("{what}: waited in vain");
            std::process::exit(9);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn grows(what: &str, number: &AtomicU64) {
    let before = number.load(Ordering::SeqCst);
    until(what, || number.load(Ordering::SeqCst) > before + 1);
}

fn count() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Has all threads do what they are there for.
fn use_all() {
    // Only all workers together come past the barrier.
    let barrier = Arc::new(Barrier::new(WORKERS + 1));
    for _ in 0..WORKERS {
        let barrier = Arc::clone(&barrier);
        QUEUE.lock().unwrap().push_back(Box::new(move || _ = barrier.wait()));
    }
    QUEUED.notify_all();
    barrier.wait();
    grows("timer", &TICKS);
    grows("sleeper", &NAPS);
    grows("computes", &TURNS);
    let events = EVENTS.load(Ordering::SeqCst);
    assert_eq!(unsafe { write(EVENTFD.load(Ordering::SeqCst), &1, 8) }, 8);
    until("reactor", || EVENTS.load(Ordering::SeqCst) > events);
    ECHO.lock().unwrap().as_ref().unwrap().0.send(1).unwrap();
    let tids = || std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let mut names: Vec<_> = tids().map(|task| std::fs::read_to_string(task.join("comm")).unwrap()).collect();
    names.retain(|name| !name.starts_with("chorus") && !name.starts_with("engine"));
    names.sort();
    let names = names.concat().replace('\n', " ");
    println!("{} threads: {names}{}", count() - 2, if WRONG.load(Ordering::SeqCst) { "wrong" } else { "right" });
}

/// An eventfd that counts, and sockets that a program made for itself: one as tokio's, one that blocks.
struct Own {
    eventfd: i32,
    own: (UnixStream, UnixStream),
    blocking: (UnixStream, UnixStream),
}

static PRESENT: AtomicBool = AtomicBool::new(false);
static LOADING: AtomicBool = AtomicBool::new(false);

/// Waits; also in a child that shares this process's memory, and whose parent waits for it in the system.
extern "C" fn keep_away(_: *mut u8) -> i32 {
    while !PRESENT.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(1));
    }
    0
}

extern "C" fn nothing(_: i32) {}

/// With the loader's lock.
extern "C" fn wait_in_the_loader(_: *mut u8, _: usize, _: *mut u8) -> i32 {
    LOADING.store(true, Ordering::SeqCst);
    keep_away(std::ptr::null_mut());
    1
}

static OWN: Mutex<Option<Own>> = Mutex::new(None);

fn own<T>(work: impl FnOnce(&mut Own) -> T) -> T {
    work(OWN.lock().unwrap().as_mut().unwrap())
}

fn take_count(fd: i32) -> u64 {
    let mut count = 0;
    assert_eq!(unsafe { read(fd, &mut count, 8) }, 8);
    count
}

cells! {
    makes_an_eventfd_and_a_pair {
        let (own, blocking) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        own.0.set_nonblocking(true).unwrap();
        own.1.set_nonblocking(true).unwrap();
        *OWN.lock().unwrap() = Some(Own { eventfd: unsafe { eventfd(3, 0) }, own, blocking })
    }
    changes_its_eventfd_and_dies {
        own(|own| {
            assert_eq!(take_count(own.eventfd), 3);
            assert_eq!(unsafe { write(own.eventfd, &10, 8) }, 8);
            std::process::abort()
        })
    }
    looks_at_its_eventfd_and_its_pair {
        own(|own| {
            let count = take_count(own.eventfd);
            assert_eq!(unsafe { write(own.eventfd, &count, 8) }, 8);
            let _ = own.own.1.write(b"x");
            let silent = match own.own.0.read(&mut [0]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => "nothing",
                _ => "something",
            };
            let ended = match own.blocking.0.read(&mut [0]) {
                Ok(0) => "ended",
                _ => "goes on",
            };
            println!("{count}, {silent}, {ended}")
        })
    }
    makes_threads { make(); assert_eq!(count(), THREADS + 2, "with the main thread and the flusher") }
    starts_4_threads { for _ in 0..4 { start("parked", || loop { std::thread::park() }); } }
    uses_threads { use_all() }
    uses_threads_and_dies {
        use_all();
        start("late", || std::thread::park());
        std::process::abort()
    }
    uses_threads_and_loops { use_all(); println!("looping"); loop { std::hint::spin_loop() } }
    joins_a_thread {
        let (sender, echo) = ECHO.lock().unwrap().take().unwrap();
        drop(sender);
        let sum = echo.join().unwrap();
        println!("{sum} {}", ENDED.load(Ordering::SeqCst))
    }
    starts_and_ends_threads_all_the_time {
        start("starter", || loop { let _ = std::thread::spawn(|| ()).join(); })
    }
    leaves_a_thread_that_blocks_signals {
        let (sender, end) = channel::<()>();
        let (ready, is_ready) = channel::<()>();
        let thread = start("stubborn", move || {
            unsafe { pthread_sigmask(0, &[u64::MAX; 16], std::ptr::null_mut()) };
            ready.send(()).unwrap();
            let _ = end.recv();
        });
        is_ready.recv().unwrap();
        *STUBBORN.lock().unwrap() = Some((sender, thread))
    }
    leaves_a_thread_in_a_system_call {
        let (ready, is_ready) = channel::<()>();
        start("absent", move || unsafe {
            const VM: i32 = 0x100;
            const VFORK: i32 = 0x4000;
            const SIGCHLD: i32 = 17;
            let mut stack = vec![0u128; 4096];
            ready.send(()).unwrap();
            let child = clone(keep_away, stack.as_mut_ptr().add(4096).cast(), VM | VFORK | SIGCHLD, std::ptr::null_mut());
            assert_eq!(waitpid(child, std::ptr::null_mut(), 0), child);
        });
        is_ready.recv().unwrap();
        std::thread::sleep(Duration::from_millis(100))
    }
    ends_the_system_call {
        PRESENT.store(true, Ordering::SeqCst);
        until("the thread's end", || count() == THREADS + 2)
    }
    leaves_a_thread_in_the_loader {
        start("loader", || unsafe { _ = dl_iterate_phdr(wait_in_the_loader, std::ptr::null_mut()) });
        until("the lock", || LOADING.load(Ordering::SeqCst))
    }
    passes_the_loader {
        unsafe { dl_iterate_phdr(wait_in_the_loader, std::ptr::null_mut()) };
        println!("passed")
    }
    ends_the_loading {
        PRESENT.store(true, Ordering::SeqCst);
        until("the thread's end", || count() == 2)
    }
    handles_the_last_signal_but_one { unsafe { signal(__libc_current_sigrtmax() - 1, nothing) }; }
    ends_the_thread_that_blocks_signals {
        let (sender, thread) = STUBBORN.lock().unwrap().take().unwrap();
        drop(sender);
        thread.join().unwrap()
    }
}
