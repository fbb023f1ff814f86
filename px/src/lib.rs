//! What cells see of Chorus: [`rank`] and [`size`], how values are displayed, and [`timeit`].
//!
//! This crate is linked statically into each cell's object. The worker that loads the object hands it a [`Host`]
//! through `chorus_px_attach`, and calls `chorus_px_flush` when the cell returns. Each object has its own copy of the
//! statics below; libstd, and with it stdout and the panic hook, is one for all objects of a worker.
//!
//! It never talks to the outside but through [`Host`] and stdout.

#[doc(hidden)]
pub mod store;
mod timeit;

pub use timeit::timeit;

use std::any::type_name;
use std::fmt::{Debug, Display};
use std::io::Write;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// The version of [`Host`] that this crate needs. A host of a later version begins with the same fields.
pub const HOST_VERSION: u32 = 1;

/// The table through which a worker serves cells. It lives as long as the worker.
#[repr(C)]
pub struct Host {
    /// [`HOST_VERSION`] of the worker.
    pub version: u32,
    /// What [`rank`] answers. It is set before each run, while threads of earlier runs may read it.
    pub rank: AtomicU64,
    /// What [`size`] answers.
    pub size: AtomicU64,
    /// Is called by a thread that panics, before it unwinds. The report is valid during the call only.
    pub panicked: extern "C" fn(&PanicReport),
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
}

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

fn host() -> Option<&'static Host> {
    // SAFETY: null, or set by `chorus_px_attach` to a host that lives as long as the process.
    unsafe { HOST.load(Ordering::Acquire).as_ref() }
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
    std::panic::set_hook(Box::new(report));
}

/// Is called by the worker when the cell has returned, so that `print!` without a newline shows.
#[unsafe(no_mangle)]
pub extern "C" fn chorus_px_flush() {
    // A cell may have closed its stdout; there is nobody to tell.
    let _ = std::io::stdout().flush();
}

fn report(info: &PanicHookInfo<'_>) {
    let Some(host) = host() else { return };
    let payload = info.payload();
    let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text.as_str(),
        _ => "a value that isn't a string",
    };
    let (file, line, column) = info.location().map_or(("", 0, 0), |at| (at.file(), at.line(), at.column()));
    let thread = std::thread::current();
    (host.panicked)(&PanicReport {
        message: Text::new(message),
        file: Text::new(file),
        thread: Text::new(thread.name().unwrap_or("")),
        line,
        column,
    });
}

/// This engine's place among the cluster's engines, from 0; 0 in the notebook's own worker.
pub fn rank() -> usize {
    host().map_or(0, |host| host.rank.load(Ordering::Relaxed) as usize)
}

/// The number of the cluster's engines; 1 in the notebook's own worker.
pub fn size() -> usize {
    host().map_or(1, |host| host.size.load(Ordering::Relaxed) as usize)
}

/// Displays the value of a cell's last expression with its `Debug`. A type's own method `evcxr_display(&self)` goes
/// before it, as methods of types go before those of traits.
///
/// [`pretty`], [`text`] and [`typed`] have a trait of the same name each, to be imported instead of this one.
pub trait Show {
    /// Prints the value as evcxr's content protocol wants it; `()` prints nothing.
    fn evcxr_display(&self);
}

impl<T: Debug + ?Sized> Show for T {
    fn evcxr_display(&self) {
        send::<T>(|| format!("{self:?}"));
    }
}

/// Values on several lines, `{:#?}`.
pub mod pretty {
    use super::{Debug, send};

    /// See [`super::Show`].
    pub trait Show {
        /// Prints the value with `{:#?}`.
        fn evcxr_display(&self);
    }

    impl<T: Debug + ?Sized> Show for T {
        fn evcxr_display(&self) {
            send::<T>(|| format!("{self:#?}"));
        }
    }
}

/// Values as users see them, `{}`.
pub mod text {
    use super::{Display, send};

    /// See [`super::Show`].
    pub trait Show {
        /// Prints the value with `{}`.
        fn evcxr_display(&self);
    }

    impl<T: Display + ?Sized> Show for T {
        fn evcxr_display(&self) {
            send::<T>(|| format!("{self}"));
        }
    }
}

/// Values with their types, `: i32 = 42`.
pub mod typed {
    use super::{Debug, send, type_name};

    /// See [`super::Show`].
    pub trait Show {
        /// Prints the value's type and the value with `{:?}`.
        fn evcxr_display(&self);
    }

    impl<T: Debug + ?Sized> Show for T {
        fn evcxr_display(&self) {
            send::<T>(|| format!(": {} = {self:?}", super::without_paths(type_name::<T>())));
        }
    }
}

fn send<T: ?Sized>(format: impl FnOnce() -> String) {
    // `T` isn't 'static, so there is no TypeId to compare.
    if type_name::<T>() == type_name::<()>() {
        return;
    }
    // Formatted first, so that a `Debug` that prints or panics doesn't do so in the middle of the content.
    let content = format!("EVCXR_BEGIN_CONTENT text/plain\n{}\nEVCXR_END_CONTENT\n", format());
    let _ = std::io::stdout().lock().write_all(content.as_bytes());
}

/// `alloc::vec::Vec<alloc::string::String>` is `Vec<String>`.
fn without_paths(type_name: &str) -> String {
    let mut short = String::new();
    for character in type_name.chars() {
        short.push(character);
        if short.ends_with("::") {
            let path = short.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_' || c == ':').len();
            short.truncate(path);
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_host_there_is_one_process() {
        assert_eq!((rank(), size()), (0, 1));
    }

    #[test]
    fn types_are_shown_without_their_paths() {
        let name = type_name::<std::collections::HashMap<String, Option<Vec<&str>>>>();
        assert_eq!(without_paths(name), "HashMap<String, Option<Vec<&str>>>");
        assert_eq!(without_paths(type_name::<(u8, [f64; 3])>()), "(u8, [f64; 3])");
    }

    #[test]
    fn an_own_method_goes_first() {
        #[derive(Debug)]
        struct Own;
        impl Own {
            fn evcxr_display(&self) -> u8 {
                7
            }
        }
        assert_eq!(Own.evcxr_display(), 7);
    }
}
