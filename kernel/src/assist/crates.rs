//! The crates that `:dep` can name without the network: those that cargo has downloaded before.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Names, each with its versions, as cargo's cache has them.
pub(super) fn downloaded() -> BTreeMap<String, Vec<String>> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let mut crates: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let registries = home.and_then(|home| std::fs::read_dir(home.join("registry/cache")).ok());
    for registry in registries.into_iter().flatten().flatten() {
        for file in std::fs::read_dir(registry.path()).into_iter().flatten().flatten() {
            if let Some((name, version)) = file.file_name().to_str().and_then(name_and_version) {
                crates.entry(name.to_owned()).or_default().push(version.to_owned());
            }
        }
    }
    crates
}

/// Of a file such as `serde_json-1.0.2.crate`.
fn name_and_version(file: &str) -> Option<(&str, &str)> {
    let stem = file.strip_suffix(".crate")?;
    let dash = stem.match_indices('-').map(|(at, _)| at).find(|at| {
        let number = stem[at + 1..].split('-').next().unwrap_or_default();
        number.starts_with(|c: char| c.is_ascii_digit()) && number.contains('.')
    })?;
    Some((&stem[..dash], &stem[dash + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_versions_are_told_apart() {
        assert_eq!(name_and_version("serde_json-1.0.2.crate"), Some(("serde_json", "1.0.2")));
        assert_eq!(name_and_version("crossbeam-utils-0.8.1-rc.1.crate"), Some(("crossbeam-utils", "0.8.1-rc.1")));
        assert_eq!(name_and_version("x86-64-1.0.0.crate"), Some(("x86-64", "1.0.0")));
        assert_eq!(name_and_version("notes.txt"), None);
        assert_eq!(name_and_version("a.crate"), None);
    }
}
