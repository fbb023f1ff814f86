//! Cells for the tests, in the form that the compiler gives them: each entry takes and returns the store of variables.

use px::Show;
use std::io::Write;
use std::panic::catch_unwind;
use std::process::Command;

type Store = *mut u32;

macro_rules! cells {
    ($($name:ident $body:block)*) => {
        $(#[unsafe(no_mangle)]
        pub extern "C" fn $name(store: Store) -> Store { $body; store })*
    };
}

unsafe extern "C" {
    fn printf(format: *const std::ffi::c_char, ...) -> i32;
    fn close(fd: i32) -> i32;
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
    prints_late {
        std::thread::spawn(|| {
            std::io::stdin().read_line(&mut String::new()).unwrap();
            println!("late");
        })
    }
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

/// Counts its own calls in the store of variables.
#[unsafe(no_mangle)]
pub extern "C" fn counts(store: Store) -> Store {
    let store = if store.is_null() { Box::into_raw(Box::new(0)) } else { store };
    unsafe {
        *store += 1;
        println!("{}", *store);
    }
    store
}
