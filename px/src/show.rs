//! How the value of a cell's last expression is shown: a trait that evcxr's generated code finds in scope.

use std::any::type_name;
use std::fmt::{Debug, Display};
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
