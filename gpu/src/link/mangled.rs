//! Names as rustc mangles them.

/// The path in a name, without what its types say: `core::str::converts::from_utf8`. Other names stay as they are.
pub(super) fn readable(name: &str) -> String {
    let path = path(name);
    if path.is_empty() { name.to_owned() } else { path.join("::") }
}

/// Whether it is something of the crate `core`.
pub(super) fn is_of_core(name: &str) -> bool {
    path(name).first() == Some(&"core")
}

/// The identifiers of a name. Each has its length before it. What stands between an `s` or a `B` and a `_` is a number,
/// and may have letters in it.
fn path(name: &str) -> Vec<&str> {
    let mut path = Vec::new();
    let Some(mut rest) = name.strip_prefix("_R") else { return path };
    while let Some(first) = rest.chars().next() {
        let after = rest.get(first.len_utf8()..).unwrap_or_default();
        rest = match first {
            's' | 'B' => after.split_once('_').map_or(after, |(_, after)| after),
            '1'..='9' => {
                let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                let (digits, after) = rest.split_at_checked(digits).unwrap_or((rest, ""));
                let Some((identifier, after)) = digits.parse().ok().and_then(|length| {
                    // One that begins with a digit or `_` has one more before it.
                    after.strip_prefix('_').unwrap_or(after).split_at_checked(length)
                }) else {
                    return path;
                };
                path.push(identifier);
                after
            }
            _ => after,
        };
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_names() {
        for (name, path) in [
            ("_RNvNtCs1peUGmbrgHn_4core9panicking18panic_bounds_check", "core::panicking::panic_bounds_check"),
            ("_RNvXs8_NtNtNtCs1peUGmbrgHn_4core3fmt3num3impmNtB9_7Display3fmt", "core::fmt::num::imp::Display::fmt"),
            ("_RNvNtNtCs1peUGmbrgHn_4core3str8converts9from_utf8", "core::str::converts::from_utf8"),
            ("_RNvCsfLfy6EI15iL_7___rustc17rust_begin_unwind", "__rustc::rust_begin_unwind"),
            ("memcmp", "memcmp"),
            ("_R9x", "_R9x"),
            ("", ""),
        ] {
            assert_eq!(readable(name), path);
        }
        assert!(is_of_core("_RNvNtCs1peUGmbrgHn_4core9panicking18panic_bounds_check"));
        assert!(!is_of_core("_RNvNtCs1peUGmbrgHn_4mine4core4call") && !is_of_core("px_fail"));
    }
}
