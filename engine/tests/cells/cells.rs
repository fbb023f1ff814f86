//! Cells for the tests, in the form that the compiler gives them: each entry takes and returns the store of variables.

use px::Show;
use px::store::{VariableStore, create_variable_store};
use std::io::{PipeReader, PipeWriter, Write};
use std::panic::catch_unwind;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

type Store = *mut VariableStore;

static PIPE: Mutex<Option<(PipeReader, PipeWriter)>> = Mutex::new(None);
static HELD: Mutex<Vec<u8>> = Mutex::new(Vec::new());

macro_rules! cells {
    ($($name:ident $body:block)*) => {
        $(#[unsafe(no_mangle)]
        pub extern "C" fn $name(store: Store) -> Store { $body; store })*
    };
}

mod threads;

unsafe extern "C" {
    fn printf(format: *const std::ffi::c_char, ...) -> i32;
    fn close(fd: i32) -> i32;
    fn fork() -> i32;
    fn wait(status: *mut i32) -> i32;
}

cells! {
    prints { println!("hello") }
    prints_partly { print!("no newline") }
    prints_errors { eprintln!("oh") }
    prints_from_c { unsafe { printf(c"from C".as_ptr()) } }
    prints_without_end { loop { println!("{}", "x".repeat(1000)) } }
    prints_64_mb {
        let mut out = std::io::stdout().lock();
        for _ in 0..64 << 10 { out.write_all(&[b'x'; 1024]).unwrap() }
        out.write_all(b"\n").unwrap()
    }
    shows { print!("x = "); vec![1, 2].evcxr_display() }
    shows_unit { ().evcxr_display() }
    shows_two_types {
        for (mime, content) in [("text/plain", "1"), ("text/html", "<b>1</b>")] {
            println!("EVCXR_BEGIN_CONTENT {mime}\n{content}\nEVCXR_END_CONTENT");
        }
    }
    shows_and_waits { 7.evcxr_display(); std::io::stdin().read_line(&mut String::new()).unwrap() }
    panics {
        print!("partly ");
        if catch_unwind(|| panic!("boom {}", 1)).is_err() { println!("EVCXR_PANIC_NOTIFICATION") }
    }
    panics_in_a_thread {
        std::thread::Builder::new().name("helper".into()).spawn(|| panic!("thread boom")).unwrap().join().unwrap_err()
    }
    returns_an_error { println!("EVCXR_ERROR_OCCURRED") }
    finds_types_changed { println!("EVCXR_VARIABLE_CHANGED_TYPE:a\nEVCXR_VARIABLE_CHANGED_TYPE:b") }
    exits { print!("bye"); std::process::exit(3) }
    aborts { std::process::abort() }
    segfaults { println!("before"); unsafe { std::ptr::null_mut::<u8>().add(8).write_volatile(1) } }
    loops { println!("looping"); loop { std::hint::spin_loop() } }
    asks {
        println!("EVCXR_INPUT_REQUEST:Name?");
        let mut line = String::new();
        let length = std::io::stdin().read_line(&mut line).unwrap();
        println!("{length} {}", line.trim())
    }
    has_a_child_that_reads {
        let status = Command::new("/bin/sh").args(["-c", "/bin/cat; echo read"]).status().unwrap();
        println!("{status}")
    }
    reads_in_a_thread {
        let reading = std::thread::spawn(|| {
            let stdin = std::fs::File::open("/dev/stdin").unwrap();
            std::io::copy(&mut &stdin, &mut std::io::sink()).unwrap()
        });
        reading.join().unwrap()
    }
    prints_late {
        std::thread::spawn(|| {
            std::io::stdin().read_line(&mut String::new()).unwrap();
            println!("late");
        })
    }
    sleeps { println!("sleeping"); std::thread::sleep(std::time::Duration::from_secs(1000)) }
    sleeps_in_threads {
        for _ in 0..3 { std::thread::spawn(|| std::thread::sleep(std::time::Duration::from_secs(1000))); }
        println!("sleeping");
        std::thread::sleep(std::time::Duration::from_secs(1000))
    }
    overflows_its_stack { fn deep(n: u64) -> u64 { std::hint::black_box(deep(n + 1)) + 1 } println!("{}", deep(0)) }
    ignores_signals {
        let ignore: usize = 1;
        unsafe extern "C" { fn signal(number: i32, handler: usize) -> usize; }
        for number in 1..65 { unsafe { signal(number, ignore) }; }
        println!("looping");
        loop { std::hint::spin_loop() }
    }
    forks {
        if unsafe { fork() } == 0 {
            println!("child")
        } else {
            // Until there are no children any more: a snapshot isn't one.
            let mut count = 0;
            while unsafe { wait(std::ptr::null_mut()) } > 0 { count += 1 }
            println!("parent of {count}")
        }
    }
    changes_folder { std::env::set_current_dir("/").unwrap() }
    changes_folder_and_dies { std::env::set_current_dir("/proc").unwrap(); std::process::abort() }
    tells_its_folder { println!("{}", std::env::current_dir().unwrap().display()) }
    opens_a_pipe { *PIPE.lock().unwrap() = Some(std::io::pipe().unwrap()) }
    reads_its_pipe_to_the_end {
        let (mut reader, writer) = PIPE.lock().unwrap().take().unwrap();
        drop(writer);
        println!("{}", std::io::Read::read_to_end(&mut reader, &mut Vec::new()).unwrap())
    }
    holds_100_mb { *HELD.lock().unwrap() = vec![1; 100 << 20] }
    holds_1_gb { *HELD.lock().unwrap() = vec![1; 1 << 30] }
    writes_to_all { HELD.lock().unwrap().iter_mut().step_by(4096).for_each(|byte| *byte += 1) }
    tells_its_place { println!("{}/{}", px::rank(), px::size()) }
    tells_its_process { println!("{}", std::process::id()) }
    starts_a_process { println!("{}", Command::new("/bin/sleep").arg("1000").spawn().unwrap().id()) }
    closes_everything { for fd in 3..2000 { unsafe { close(fd) }; } }
    writes_to_high_descriptors {
        use std::os::fd::FromRawFd;
        for fd in 3..1024 {
            let mut file = std::mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(fd) });
            let _ = file.write_all(&[0xff; 64]);
        }
    }
}

/// As the next, and then the worker dies.
#[unsafe(no_mangle)]
pub extern "C" fn counts_and_dies(store: Store) -> Store {
    counts(store);
    std::process::abort()
}

/// Counts its own calls in the store of variables.
#[unsafe(no_mangle)]
pub extern "C" fn counts(store: Store) -> Store {
    let store = if store.is_null() { create_variable_store() } else { store };
    // SAFETY: the worker gives each cell what the one before it returned, and no two of them run at once.
    let variables = unsafe { &mut *store };
    let count = variables.lazy_arc("count", || AtomicU32::new(0));
    println!("{}", count.fetch_add(1, Ordering::SeqCst) + 1);
    store
}
