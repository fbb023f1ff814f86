//! Types as `std::any::type_name` has them, written as a cell would.

/// The module in which cells' own types are.
const CELLS: &str = "ctx";

/// Where std's types are defined; users know all as `std`.
const STDS: [&str; 3] = ["alloc", "core", "std"];

/// Types that need no path, and where they are defined.
const PRELUDE: [&str; 5] = ["vec::Vec", "string::String", "boxed::Box", "option::Option", "result::Result"];

/// The same type as a cell can write it. What nobody can name, such as a closure, stays as it is.
pub(crate) fn as_written(type_name: &str) -> String {
    let (mut text, mut rest) = (String::with_capacity(type_name.len()), type_name);
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    while let Some(start) = rest.find(is_part) {
        let (before, path) = rest.split_at(start);
        let (path, after) = path.split_at(path.find(|c| !is_part(c)).unwrap_or(path.len()));
        text += before;
        text += &path_as_written(path);
        rest = after;
    }
    text + rest
}

fn path_as_written(path: &str) -> String {
    let Some((first, inner)) = path.split_once("::") else { return path.to_owned() };
    if first == CELLS {
        return inner.to_owned();
    }
    if !STDS.contains(&first) {
        return path.to_owned();
    }
    let parts: Vec<&str> = inner.split("::").collect();
    match parts.as_slice() {
        [.., last] if PRELUDE.contains(&inner) => (*last).to_owned(),
        // std shows what is in its inner modules in the outer ones: `std::collections::HashMap`.
        [outer, _, .., last] => format!("std::{outer}::{last}"),
        _ => format!("std::{inner}"),
    }
}

#[cfg(test)]
mod tests {
    use super::as_written;

    #[test]
    fn types_are_written_as_cells_write_them() {
        for (name, written) in [
            ("alloc::vec::Vec<ctx::Point>", "Vec<Point>"),
            ("(f64, &str, [i32; 3])", "(f64, &str, [i32; 3])"),
            (
                "std::collections::hash::map::HashMap<alloc::string::String, core::option::Option<ctx::m::Inner>>",
                "std::collections::HashMap<String, Option<m::Inner>>",
            ),
            (
                "alloc::collections::btree::map::BTreeMap<u8, alloc::boxed::Box<u8>>",
                "std::collections::BTreeMap<u8, Box<u8>>",
            ),
            ("alloc::sync::Arc<core::time::Duration>", "std::sync::Arc<std::time::Duration>"),
            ("ndarray::ArrayBase<f64>", "ndarray::ArrayBase<f64>"),
            ("core::result::Result<(), std::io::error::Error>", "Result<(), std::io::Error>"),
        ] {
            assert_eq!(as_written(name), written);
        }
    }
}
