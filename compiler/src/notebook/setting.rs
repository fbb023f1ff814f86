//! What can be set for a notebook: its dependencies, and how its cells are compiled.

use serde::{Deserialize, Serialize};

/// A change of a namespace's configuration, to be applied to any snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Setting {
    Dependency { name: String, config: String },
    LocalDependency(String),
    Optimization(String),
    ErrorFormat(String),
    Toolchain(String),
    Offline(bool),
    Linker(String),
    CodegenBackend(String),
    StaticLinking(bool),
    Sccache(bool),
    CacheMib(u64),
    BuildEnv(String, String),
    PreserveVarsOnPanic(bool),
}

impl Setting {
    /// Whether cells can derive serde's traits from now on, under whatever name.
    pub fn brings_serde(&self) -> bool {
        let Setting::Dependency { name, config } = self else { return false };
        let config: String = config.split_whitespace().collect();
        name == "serde" && !config.contains("package=") || config.contains("package=\"serde\"")
    }

    /// Whether nothing is left of `other` once this one is made.
    pub fn replaces(&self, other: &Setting) -> bool {
        match (self, other) {
            (Setting::Dependency { name, .. }, Setting::Dependency { name: other, .. })
            | (Setting::BuildEnv(name, _), Setting::BuildEnv(other, _))
            | (Setting::LocalDependency(name), Setting::LocalDependency(other)) => name == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serde_is_known_under_any_name() {
        let brings =
            |name: &str, config: &str| Setting::Dependency { name: name.into(), config: config.into() }.brings_serde();
        assert!(brings("serde", "\"*\""));
        assert!(brings("serde", "{ version = \"1\", features = [\"derive\"] }"));
        assert!(brings("s", "{ version = \"1\", package = \"serde\" }"));
        assert!(!brings("serde", "{ version = \"1\", package=\"other\" }"));
        assert!(!brings("serde_json", "\"1\""));
        assert!(!Setting::LocalDependency("serde".into()).brings_serde());
    }
}
