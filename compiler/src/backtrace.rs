//! Which of the user's functions a panic came through, from addresses in the cell's object.
//!
//! Objects have line tables (see [`crate::tools`]), which also know inlined calls, and symbols. Whoever runs an
//! object needs neither: only addresses come back, and they are looked up here, next to the generated source.

use crate::source_map::{Place, SourceMap};
use crate::tools::CELL_FOLDER;
use addr2line::{Loader, Location};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// One of the user's functions that was being called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name, without the generated crate's; `None` for the statements of a cell.
    pub function: Option<String>,
    /// Where in it the next inner function was called.
    pub place: Place,
}

/// A cell may panic and catch in a loop: of more different stacks than these, nothing is said.
const STACKS: usize = 64;

/// What was looked up in one object, by addresses.
pub(crate) type Known = Arc<Mutex<HashMap<Vec<u64>, Vec<Call>>>>;

impl SourceMap {
    /// The calls that the addresses, return addresses in the file `object`, lie in, the innermost first: those of the
    /// user's functions only. What can't be looked up is left out.
    pub fn calls(&self, object: &Path, addresses: &[u64]) -> Vec<Call> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(calls) = known.get(addresses) {
            return calls.clone();
        }
        if addresses.is_empty() || known.len() >= STACKS {
            return Vec::new();
        }
        let calls = self.look_up(object, addresses).unwrap_or_else(|error| {
            tracing::warn!("{} has no line tables that can be read: {error}", object.display());
            Vec::new()
        });
        known.insert(addresses.to_vec(), calls.clone());
        calls
    }

    fn look_up(&self, object: &Path, addresses: &[u64]) -> Result<Vec<Call>, Box<dyn std::error::Error>> {
        let loader = Loader::new(object)?;
        let mut calls: Vec<Call> = Vec::new();
        for address in addresses {
            // The call is before the place to which it returns.
            let mut frames = loader.find_frames(address.saturating_sub(1))?;
            while let Some(frame) = frames.next()? {
                let Some(place) = frame.location.and_then(|location| self.place_of(&location)) else { continue };
                let name = frame.function.as_ref().and_then(|name| name.demangle().ok());
                let call = Call { function: name.as_deref().and_then(own_name), place };
                // A function that passes a closure on is there twice.
                if calls.last().is_none_or(|inner| !is_closure_of(inner, &call)) {
                    calls.push(call);
                }
            }
        }
        Ok(calls)
    }

    fn place_of(&self, location: &Location<'_>) -> Option<Place> {
        let file = location.file?.strip_prefix(CELL_FOLDER)?;
        if file != "/src/lib.rs" {
            return None;
        }
        self.place(location.line?, location.column.unwrap_or(1))
    }
}

const CLOSURE_IN: &str = "a closure in ";

fn is_closure_of(inner: &Call, outer: &Call) -> bool {
    let same = inner.function.as_deref().map(|name| name.trim_start_matches(CLOSURE_IN)) == outer.function.as_deref();
    same && (inner.place.cell, inner.place.line) == (outer.place.cell, outer.place.line) && inner != outer
}

/// `ctx::Shape::area::{{closure}}` is `a closure in Shape::area`; the functions that evcxr makes have no name.
fn own_name(name: &str) -> Option<String> {
    let end = name.find("::{{closure}}").or_else(|| name.find("::{closure"));
    let function = name.get(..end.unwrap_or(name.len()))?.replace("ctx::", "");
    if function.contains("run_user_code") {
        return None;
    }
    Some(if end.is_some() { format!("{CLOSURE_IN}{function}") } else { function })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_users() {
        let own = |name| own_name(name).unwrap_or_default();
        assert_eq!(own("ctx::foo"), "foo");
        assert_eq!(own("ctx::Shape::area::{{closure}}"), "a closure in Shape::area");
        assert_eq!(own("ctx::foo::{closure#0}"), "a closure in foo");
        assert_eq!(own("<ctx::Point as core::fmt::Debug>::fmt"), "<Point as core::fmt::Debug>::fmt");
        assert_eq!(own("ctx::run_user_code_7::{{closure}}"), "");
    }

    #[test]
    fn an_object_that_is_not_there_is_no_panic() {
        let map = SourceMap::default();
        assert_eq!(map.calls(Path::new("/nonexistent/object.so"), &[1, 2]), []);
        assert_eq!(map.calls(Path::new("/nonexistent/object.so"), &[]), []);
    }
}
