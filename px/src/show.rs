//! How the value of a cell's last expression is shown: a trait that evcxr's generated code finds in scope.

use std::any::type_name;
use std::fmt::{Arguments, Debug, Display, Write as _};
use std::io::Write;

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
        send::<T>(format_args!("{self:?}"));
    }
}

/// What becomes of evcxr's second attempt to show a cell's result, `((&(value)))`.
#[doc(hidden)]
#[macro_export]
macro_rules! show {
    ((&($value:expr))) => {
        (&($value)).evcxr_display()
    };
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
            send::<T>(format_args!("{self:#?}"));
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
            send::<T>(format_args!("{self}"));
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
            send::<T>(format_args!(": {} = {self:?}", super::without_paths(type_name::<T>())));
        }
    }
}

/// A result is shown as far as this many bytes: a notebook that has to hold all of a large value is of no use.
const MOST: usize = 1 << 20;

fn send<T: ?Sized>(value: Arguments<'_>) {
    // `T` isn't 'static, so there is no TypeId to compare.
    if type_name::<T>() == type_name::<()>() {
        return;
    }
    // Formatted first, so that a `Debug` that prints or panics doesn't do so in the middle of the content.
    let content = format!("EVCXR_BEGIN_CONTENT text/plain\n{}\nEVCXR_END_CONTENT\n", shortened(value));
    let _ = std::io::stdout().lock().write_all(content.as_bytes());
}

/// The text of a value, cut where it becomes too long; the rest isn't even formatted.
fn shortened(value: Arguments<'_>) -> String {
    let mut text = Shortened(String::new());
    match text.write_fmt(value) {
        Ok(()) => text.0,
        Err(_) if text.0.len() >= MOST => text.0 + "… (cut here, after 1 MiB; `println!` shows all)",
        // What `format!` does when a `Debug` fails.
        Err(error) => panic!("the value's own formatting failed: {error}"),
    }
}

struct Shortened(String);

impl std::fmt::Write for Shortened {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = MOST - self.0.len();
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        // The next byte might fit, but isn't to come after a gap.
        self.0.extend(std::iter::repeat_n(' ', MOST - self.0.len()));
        Err(std::fmt::Error)
    }
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
    fn types_are_shown_without_their_paths() {
        let name = type_name::<std::collections::HashMap<String, Option<Vec<&str>>>>();
        assert_eq!(without_paths(name), "HashMap<String, Option<Vec<&str>>>");
        assert_eq!(without_paths(type_name::<(u8, [f64; 3])>()), "(u8, [f64; 3])");
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(shortened(format_args!("{:?}", [1, 2])), "[1, 2]");
        let long = "é".repeat(MOST);
        let cut = shortened(format_args!("{long}"));
        assert!(cut.starts_with("éé") && cut.ends_with("shows all)") && cut.len() < MOST + 100);
        assert_eq!(shortened(format_args!("{}", "x".repeat(MOST))).len(), MOST);
        // It isn't formatted to its end, which would take for ever.
        assert!(shortened(format_args!("{:?}", Endless)).contains("cut here"));
    }

    struct Endless;

    impl Debug for Endless {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            loop {
                f.write_str("and so on ")?;
            }
        }
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
