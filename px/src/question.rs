//! What becomes of an error that a `?` meets at a cell's top level: the cell ends, and says what the error is, what caused
//! it, and where.
//!
//! evcxr's generated code turns such an error into one of its own, in a function that calls this.

use crate::host::{PanicReport, host};
use std::any::{TypeId, type_name};
use std::error::Error;
use std::fmt::Display;
use std::panic::Location;

/// Types whose `{:#}` has the causes.
const WITH_CAUSES: [&str; 2] = ["anyhow::Error", "eyre::Report"];

/// Of so many causes is told: a chain may be a ring.
const CAUSES: usize = 64;

/// Says what the error and its causes are. Is called where most types of errors are known to become such a box.
#[track_caller]
#[inline(never)]
pub fn caused(error: Box<dyn Error + '_>) {
    say(&chain(&*error), Location::caller());
}

/// The same of any other type that can be shown.
#[track_caller]
pub fn shown<T: Display>(error: &T) {
    let text = match as_error(error) {
        Some(error) => chain(error),
        None if WITH_CAUSES.contains(&type_name::<T>()) => format!("{error:#}"),
        None => error.to_string(),
    };
    say(&text, Location::caller());
}

/// What users want to be shown in a form of their own is that.
#[track_caller]
#[inline(never)]
pub fn formatted(text: String) {
    say(&text, Location::caller());
}

fn say(text: &str, at: &Location<'_>) {
    match host() {
        Some(host) => (host.panicked)(&PanicReport::without_calls(text, at.file(), at.line(), at.column())),
        None => eprintln!("{text}"),
    }
}

/// An error's own text, and that of each cause on a line behind it, unless it ends what stands before it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let causes = std::iter::successors(error.source(), |error: &&dyn Error| (*error).source());
    for cause in causes.take(CAUSES).map(|cause| cause.to_string()) {
        if !text.ends_with(&cause) {
            text.push_str("\n  caused by: ");
            text.push_str(&cause);
        }
    }
    text
}

/// Boxes of errors aren't errors themselves.
fn as_error<T>(value: &T) -> Option<&dyn Error> {
    type Local = Box<dyn Error>;
    type Sent = Box<dyn Error + Send>;
    type Shared = Box<dyn Error + Send + Sync>;
    let is = |id: TypeId| id == of::<T>();
    let value = std::ptr::from_ref(value);
    // SAFETY: it is of that type, but for lifetimes, which the borrow that is returned has its own of.
    unsafe {
        if is(TypeId::of::<Local>()) {
            return Some(&**value.cast::<Box<dyn Error + '_>>());
        }
        if is(TypeId::of::<Sent>()) {
            return Some(&**value.cast::<Box<dyn Error + Send + '_>>());
        }
        if is(TypeId::of::<Shared>()) {
            return Some(&**value.cast::<Box<dyn Error + Send + Sync + '_>>());
        }
    }
    None
}

/// Which type it is, whatever lifetimes are in it.
fn of<T>() -> TypeId {
    trait Named {
        fn id(&self) -> TypeId
        where
            Self: 'static;
    }
    impl<T: ?Sized> Named for std::marker::PhantomData<T> {
        fn id(&self) -> TypeId
        where
            Self: 'static,
        {
            TypeId::of::<T>()
        }
    }
    let marker = std::marker::PhantomData::<T>;
    let named: &(dyn Named + '_) = &marker;
    // SAFETY: only the bound on the lifetime changes. A `PhantomData` holds nothing that could end, and `id` reads nothing.
    unsafe { std::mem::transmute::<&(dyn Named + '_), &(dyn Named + 'static)>(named) }.id()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt;

    #[derive(Debug)]
    struct Failed(&'static str, Option<Box<Failed>>);

    impl Display for Failed {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Failed {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as &dyn Error)
        }
    }

    fn failed() -> Failed {
        let root = Failed("no such file", None);
        let middle = Failed("can't open it: no such file", Some(Box::new(root)));
        Failed("can't read the settings", Some(Box::new(middle)))
    }

    #[test]
    fn all_causes_are_told_once() {
        let whole = "can't read the settings\n  caused by: can't open it: no such file";
        assert_eq!(chain(&failed()), whole);
    }

    #[test]
    fn boxes_of_errors_are_known() {
        fn told<T>(value: T) -> Option<String> {
            as_error(&value).map(|error| error.to_string())
        }
        let text = Some("can't read the settings".to_owned());
        assert_eq!(told::<Box<dyn Error>>(Box::new(failed())), text);
        assert_eq!(told::<Box<dyn Error + Send>>(Box::new(failed())), text);
        assert_eq!(told::<Box<dyn Error + Send + Sync>>(Box::new(failed())), text);
        assert_eq!(told(Box::new(5)), None);
        assert_eq!(told(String::new()), None);
        let local = String::from("borrowed");
        assert_eq!(told(local.as_str()), None);
    }
}
