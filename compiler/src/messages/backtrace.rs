//! Which of the user's functions a panic came through, from addresses in the cell's object.
//!
//! Objects have line tables (see [`crate::tools`]), which also know inlined calls, and symbols. Whoever runs an
//! object needs neither: only addresses come back, and they are looked up here, next to the generated source.

use crate::messages::source_map::{Place, SourceMap};
use crate::notebook::identity::without_modules;
use crate::tools::arguments::CELL_FOLDER;
use crate::tools::rewrite::begins_result;
use addr2line::{Loader, Location};
use parking_lot::Mutex;
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

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
        let mut known = self.known.lock();
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
                // The tables name inlined functions only.
                let symbol = || loader.find_symbol(address.saturating_sub(1)).map(Cow::from);
                let name = frame.function.as_ref().and_then(|name| name.raw_name().ok()).or_else(symbol);
                let name = name.map(|name| addr2line::demangle_auto(name, None));
                let call = Call { function: name.as_deref().and_then(own_name), place };
                // Who makes a closure and passes it on at once is on the same line.
                calls.pop_if(|inner| is_closure_of(inner, &call));
                calls.push(call);
            }
        }
        if let Some(outermost) = calls.last_mut().filter(|call| call.function.as_deref() == Some(CLOSURE)) {
            // evcxr puts the statements of a cell into one.
            outermost.function = None;
        }
        Ok(calls)
    }

    fn place_of(&self, location: &Location<'_>) -> Option<Place> {
        let file = location.file?.strip_prefix(CELL_FOLDER)?;
        if file != "/src/lib.rs" {
            return None;
        }
        let line = location.line?;
        // evcxr puts the last expression in parentheses, and the line of those is that of the call.
        let is_parenthesis =
            || self.generated().lines().nth(line.checked_sub(1)? as usize).filter(|text| begins_result(text));
        self.place(line, location.column.unwrap_or(1))
            .or_else(|| is_parenthesis().and_then(|_| self.place(line + 1, 1)))
    }
}

const CLOSURE: &str = "a closure";

fn is_closure_of(inner: &Call, outer: &Call) -> bool {
    inner.function.as_deref() == Some(CLOSURE)
        && (inner.place.cell, inner.place.line) == (outer.place.cell, outer.place.line)
}

/// The name as the user knows it; line tables have only its last part. What evcxr makes has no name of the user's.
fn own_name(name: &str) -> Option<String> {
    if name.contains("run_user_code") {
        return None;
    }
    let is_closure = name.rsplit("::").next().is_some_and(|last| last.starts_with('{'));
    Some(if is_closure { CLOSURE.to_owned() } else { without_modules(&name.replace("ctx::", "")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_users() {
        assert_eq!(own_name("area").as_deref(), Some("area"));
        assert_eq!(own_name("ctx::Shape::area").as_deref(), Some("Shape::area"));
        assert_eq!(own_name("ctx::chorus_type_1f_0::Shape::area").as_deref(), Some("Shape::area"));
        assert_eq!(own_name("{closure#0}").as_deref(), Some(CLOSURE));
        assert_eq!(own_name("ctx::bar::{{closure}}").as_deref(), Some(CLOSURE));
        assert_eq!(own_name("ctx::run_user_code_7::{{closure}}"), None);
    }

    #[test]
    fn an_object_that_is_not_there_is_no_panic() {
        let map = SourceMap::default();
        assert_eq!(map.calls(Path::new("/nonexistent/object.so"), &[1, 2]), []);
        assert_eq!(map.calls(Path::new("/nonexistent/object.so"), &[]), []);
    }
}
