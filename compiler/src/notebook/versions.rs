//! The versions of dependencies: shown, written to a file, and taken from one.

use crate::compiler::Compiler;
use crate::dependencies::VERSIONS;
use crate::notebook::setting::Setting;
use std::fs;

impl Compiler {
    /// What the notebook depends on, for its user.
    pub fn dependencies_text(&self) -> String {
        let lock = self.versions().unwrap_or_default();
        let all = packages(&lock);
        let asked = self.shared.dependencies();
        if asked.is_empty() {
            return "No dependencies; `:dep NAME = \"VERSION\"` adds one.".into();
        }
        let settings = self.shared.settings(0).filter_map(|setting| match setting {
            Setting::Dependency { name, .. } => Some(name.as_str()),
            _ => None,
        });
        let versions = settings.filter_map(|name| {
            let versions: Vec<&str> = all.iter().filter(|it| it.name == name).map(|it| it.version).collect();
            (!versions.is_empty()).then(|| format!("{name} {}\n", versions.join(", ")))
        });
        let mut lines: Vec<String> = versions.collect();
        lines.sort_unstable();
        lines.dedup();
        let crates = all.iter().filter(|it| !matches!(it.name, "ctx" | "px")).count();
        let place = self.set.as_ref().map(|set| format!("{crates} crates in all, built in {}\n", set.set.display()));
        format!("{}\n\n{}{}", asked.join("\n"), lines.concat(), place.unwrap_or_default())
    }

    /// The versions of all crates, as a `Cargo.lock`; `None` if there are none that are built for all kernels.
    pub fn versions(&self) -> Option<String> {
        fs::read_to_string(self.set.as_ref()?.set.join("Cargo.lock")).ok()
    }

    /// Takes versions from this `Cargo.lock` for dependencies that are added from now on. Returns of how many crates.
    pub fn use_versions(&mut self, lock: &str) -> Result<usize, String> {
        if self.set.is_some() {
            return Err("the notebook has dependencies already: restart it, and take the versions first".into());
        }
        let count = packages(lock).len();
        if count == 0 {
            return Err("it isn't a Cargo.lock: it names no version of a crate".into());
        }
        fs::write(self.folder.join(VERSIONS), lock).map_err(|error| error.to_string())?;
        self.versions_used = Some(*blake3::hash(lock.as_bytes()).as_bytes());
        Ok(count)
    }
}

/// A crate in a `Cargo.lock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Package<'a> {
    pub name: &'a str,
    version: &'a str,
    /// All that is said of it, but for what it depends on.
    pub about: &'a str,
}

/// The crates in a `Cargo.lock`.
pub(crate) fn packages(lock: &str) -> Vec<Package<'_>> {
    let named = lock.split("[[package]]").skip(1).filter_map(|package| {
        let about = package.find("dependencies = ").map_or(package, |at| &package[..at]);
        let value = |key: &str| about.lines().find_map(|line| line.strip_prefix(key)?.strip_suffix('"'));
        Some(Package { name: value("name = \"")?, version: value("version = \"")?, about })
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        let lock = "version = 4\n\n[[package]]\nname = \"a-b\"\nversion = \"1.2.3\"\nsource = \"r\"\n\n\
                    [[package]]\nname = \"c\"\nversion = \"0.1.0\"\ndependencies = [\n \"a-b\",\n]\n";
        let found: Vec<_> = packages(lock).into_iter().map(|it| (it.name, it.version)).collect();
        assert_eq!(found, [("a-b", "1.2.3"), ("c", "0.1.0")]);
        for text in ["", "[[package]]", "[[package]]\nname = \"a", "{\"version\": 1}"] {
            assert!(packages(text).is_empty(), "{text}");
        }
    }
}
