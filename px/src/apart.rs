//! The names of types, as users know them: a type that was defined anew stands in a module that is none of theirs.
//! rustc's wrapper puts the path of this module before that of `std::any`, where there is such a type.

use ::std::any;
use ::std::collections::BTreeMap;
use ::std::sync::{Mutex, PoisonError};

/// The module of a type begins with it.
const MODULE: &str = "chorus_type_";

/// `std::any::type_name`, without our modules.
#[must_use]
pub fn type_name<T: ?Sized>() -> &'static str {
    plain(any::type_name::<T>())
}

/// `std::any::type_name_of_val`, without our modules.
#[must_use]
pub fn type_name_of_val<T: ?Sized>(_: &T) -> &'static str {
    type_name::<T>()
}

fn plain(name: &'static str) -> &'static str {
    static KNOWN: Mutex<BTreeMap<&str, &str>> = Mutex::new(BTreeMap::new());
    if !name.contains(MODULE) {
        return name;
    }
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.entry(name).or_insert_with(|| {
        let mut parts = name.split(MODULE);
        let first = parts.next().unwrap_or_default().to_owned();
        let plain = parts.fold(first, |plain, part| plain + part.split_once("::").map_or(part, |(_, rest)| rest));
        plain.leak()
    })
}

/// Stands for the crate.
pub mod std {
    pub use ::std::*;
    /// Stands for the module.
    pub mod any {
        pub use super::super::{type_name, type_name_of_val};
        pub use ::std::any::*;
    }
}

/// Stands for the crate.
pub mod core {
    pub use ::core::*;
    /// Stands for the module.
    pub mod any {
        pub use super::super::{type_name, type_name_of_val};
        pub use ::core::any::*;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    mod chorus_type_0 {
        pub struct Own;
    }

    #[test]
    fn names_have_none_of_our_modules() {
        let name = super::std::any::type_name::<Vec<(chorus_type_0::Own, u8)>>();
        assert!(name.ends_with("apart::tests::Own, u8)>"), "{name}");
        assert_eq!(type_name_of_val(&1u8), "u8");
    }
}
