//! Named flags for clusters, from the user's `clusters.toml`.

use chorus_magics::On;
use chorus_protocol::Adapt;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Flags by the names that they have on the command line, and what has no flag.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    on: Option<String>,
    n: Option<u32>,
    hosts: Option<String>,
    partition: Option<String>,
    time: Option<String>,
    cores: Option<u32>,
    memory: Option<String>,
    image: Option<String>,
    command: Option<String>,
    shared: Option<PathBuf>,
    script: Option<PathBuf>,
    #[serde(default)]
    tunnel: bool,
    ports: Option<String>,
    min: Option<u32>,
    #[serde(default, deserialize_with = "limits")]
    adapt: Option<Adapt>,
    /// Lines of shell that come before the engine, on its host.
    #[serde(default)]
    pub setup: Vec<String>,
}

impl Profile {
    /// The one with this name in a file. An error is a sentence.
    pub fn read(name: &str, file: &Path) -> Result<Profile, String> {
        let shown = file.display();
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("there is no profile `{name}`, since {shown} can't be read: {error}"))?;
        let mut profiles: BTreeMap<String, Profile> =
            toml::from_str(&text).map_err(|error| format!("{shown}: {}", error.to_string().trim_end()))?;
        let names: Vec<String> = profiles.keys().map(|name| format!("`{name}`")).collect();
        profiles.remove(name).ok_or_else(|| match names.join(", ") {
            names if names.is_empty() => format!("there is no profile `{name}`: {shown} has none"),
            names => format!("there is no profile `{name}`: {shown} has {names}"),
        })
    }

    /// What was written holds over what is here, as for `n`.
    pub fn beneath(&self, on: &On, n: Option<u32>) -> (On, Option<u32>) {
        let text = |written: &Option<String>, here: &Option<String>| written.clone().or_else(|| here.clone());
        let all = On {
            on: text(&on.on, &self.on),
            profile: on.profile.clone(),
            hosts: text(&on.hosts, &self.hosts),
            partition: text(&on.partition, &self.partition),
            time: text(&on.time, &self.time),
            cores: on.cores.or(self.cores),
            memory: text(&on.memory, &self.memory),
            image: text(&on.image, &self.image),
            command: text(&on.command, &self.command),
            shared: on.shared.clone().or_else(|| self.shared.clone()),
            script: on.script.clone().or_else(|| self.script.clone()),
            dry_run: on.dry_run,
            tunnel: on.tunnel || self.tunnel,
            ports: text(&on.ports, &self.ports),
            min: on.min.or(self.min),
            adapt: on.adapt.or(self.adapt),
        };
        (all, n.or(self.n))
    }
}

fn limits<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Adapt>, D::Error> {
    String::deserialize(from)?.parse().map(Some).map_err(D::Error::custom)
}

/// Where the user's profiles are.
pub fn file() -> Option<PathBuf> {
    Some(dirs::config_dir()?.join("chorus/clusters.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, name: &str) -> Result<Profile, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("clusters.toml");
        std::fs::write(&file, text).unwrap();
        Profile::read(name, &file).map_err(|why| why.replace(&file.display().to_string(), "FILE"))
    }

    #[test]
    fn what_is_written_holds_over_a_profile() {
        let text = "[lab]\non = 'slurm'\nn = 8\ntime = '1:00'\nadapt = '0:8:9'\nsetup = ['module load x']\n[other]\n";
        let profile = read(text, "lab").unwrap();
        assert_eq!(profile.setup, ["module load x"]);
        assert_eq!(profile.adapt, Some(Adapt { least: 0, most: 8, idle: 9 }));
        let written = On { time: Some("2:00".into()), ..On::default() };
        let (on, n) = profile.beneath(&written, None);
        assert_eq!((on.on.as_deref(), on.time.as_deref(), n), (Some("slurm"), Some("2:00"), Some(8)));
        assert_eq!(profile.beneath(&written, Some(2)).1, Some(2));
    }

    #[test]
    fn what_is_wrong_in_it_is_told_with_its_place() {
        assert_eq!(read("[a]\n[b]\n", "lab").unwrap_err(), "there is no profile `lab`: FILE has `a`, `b`");
        assert_eq!(read("", "lab").unwrap_err(), "there is no profile `lab`: FILE has none");
        let why = read("[lab]\nhost = 'a'\n", "lab").unwrap_err();
        assert!(why.contains("line 2") && why.contains("unknown field `host`") && why.contains("`hosts`"), "{why}");
        let why = Profile::read("lab", Path::new("/nowhere/clusters.toml")).unwrap_err();
        assert!(why.starts_with("there is no profile `lab`, since /nowhere/clusters.toml can't be read"), "{why}");
    }
}
