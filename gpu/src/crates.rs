//! Crates that a notebook depends on, compiled for GPUs: with the versions and the features that its cells have them with,
//! so that both sides run the same code.

use crate::toolchain::{CPU, TARGET, Target};
use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crates that rustc finds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crates {
    /// The names that texts know them by, and their files.
    pub externs: Vec<(String, PathBuf)>,
    /// Where what they depend on is.
    pub folders: Vec<PathBuf>,
}

impl Crates {
    /// Both.
    pub fn and(mut self, others: Crates) -> Crates {
        self.externs.extend(others.externs);
        self.folders.extend(others.folders);
        self
    }

    /// rustc's arguments.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let pair = |option: &str, start: &str, path: &Path| {
            let mut value = OsString::from(start);
            value.push(path);
            [OsString::from(option), value]
        };
        let folders = self.folders.iter().flat_map(|folder| pair("-L", "dependency=", folder));
        let externs = self.externs.iter().flat_map(|(name, path)| pair("--extern", &format!("{name}="), path));
        folders.chain(externs).collect()
    }
}

/// A crate that a package depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The name that the package's text knows it by.
    pub name: String,
    /// cargo's name for exactly this version of it.
    pub id: String,
    /// Whether its text says something about doing without std.
    pub may_lack_std: bool,
}

/// Why crates can't be had. The sentences are for users.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// It needs std.
    #[error(
        "the crate `{0}` needs std, which no GPU has; if it can do without, its features say so, and those of the crates that \
         depend on it: `:dep {0} = {{ version = \"..\", default-features = false, features = [\"..\"] }}`"
    )]
    Std(String),
    /// Another error of the compiler's.
    #[error("the crate `{0}` can't be compiled for a GPU: {1}")]
    Rustc(String, String),
    /// cargo says this.
    #[error("crates can't be compiled for a GPU: {0}")]
    Cargo(String),
    /// The system.
    #[error("crates can't be compiled for a GPU: {0}")]
    Io(#[from] io::Error),
}

/// What the package in this folder, whose versions are known, depends on.
pub fn dependencies(cargo: &Path, folder: &Path) -> Result<Vec<Dependency>, Failed> {
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version=1", "--locked", "--filter-platform", TARGET]).current_dir(folder);
    let output = command.output()?;
    if !output.status.success() {
        return Err(Failed::Cargo(first_error(&String::from_utf8_lossy(&output.stderr))));
    }
    let metadata = serde_json::from_slice(&output.stdout).map_err(io::Error::from)?;
    let mut all = named(&metadata);
    for (dependency, source) in &mut all {
        let text = fs::read_to_string(source).unwrap_or_default();
        dependency.may_lack_std = text.contains("no_std");
    }
    Ok(all.into_iter().map(|(dependency, _)| dependency).collect())
}

/// The root's dependencies in cargo's metadata, with the first file of each. What each crate says isn't known yet.
fn named(metadata: &Value) -> Vec<(Dependency, PathBuf)> {
    let with = |list: &Value, key: &str, value: &Value| -> Option<Value> {
        list.as_array()?.iter().find(|it| it[key] == *value).cloned()
    };
    let resolve = &metadata["resolve"];
    let root = with(&resolve["nodes"], "id", &resolve["root"]).unwrap_or_default();
    let dependencies = root["deps"].as_array().into_iter().flatten();
    let known = dependencies.filter_map(|it| {
        let package = with(&metadata["packages"], "id", &it["pkg"])?;
        let library = package["targets"].as_array()?.iter().find(|target| is_library(target))?;
        let dependency = Dependency {
            name: it["name"].as_str()?.to_owned(),
            id: it["pkg"].as_str()?.to_owned(),
            may_lack_std: false,
        };
        Some((dependency, PathBuf::from(library["src_path"].as_str()?)))
    });
    known.collect()
}

fn is_library(target: &Value) -> bool {
    target["kind"].as_array().into_iter().flatten().any(|kind| kind == "lib" || kind == "rlib")
}

/// Compiles these dependencies of the package in `folder`, with files in `into`, for GPUs or, without a target, for this
/// machine. What is there already isn't compiled again. This takes as long as cargo does.
pub fn build(
    cargo: &Path,
    folder: &Path,
    into: &Path,
    target: Option<&Target>,
    which: &[&Dependency],
) -> Result<Crates, Failed> {
    if which.is_empty() {
        return Ok(Crates::default());
    }
    let mut command = Command::new(cargo);
    command.args(["build", "--locked", "--quiet", "--message-format=json"]).current_dir(folder);
    command.env("CARGO_TARGET_DIR", into).env("CARGO_BUILD_BUILD_DIR", into).env("CARGO_PROFILE_DEV_DEBUG", "false");
    if let Some(target) = target {
        // Their code is linked into that of each function, for which it has to be in LLVM's form.
        let mut flags = format!("-Cembed-bitcode=yes\u{1f}-C{CPU}");
        if let Some(libraries) = &target.libraries {
            flags += &format!("\u{1f}-L{}", libraries.display());
        }
        command.args(["--target", TARGET]).env("CARGO_ENCODED_RUSTFLAGS", flags);
    }
    command.args(which.iter().flat_map(|dependency| ["-p", &dependency.id]));
    let output = command.output()?;
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let messages: Vec<Value> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    if !output.status.success() {
        return Err(failed(&messages, &String::from_utf8_lossy(&output.stderr)));
    }
    Ok(built(&messages, which))
}

/// Where cargo's messages say that these crates are, and all others.
fn built(messages: &[Value], which: &[&Dependency]) -> Crates {
    let mut crates = Crates::default();
    for message in messages.iter().filter(|message| message["reason"] == "compiler-artifact") {
        let files = message["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str).map(Path::new);
        for file in files {
            let is = |suffix: &str| file.extension().is_some_and(|it| it == suffix);
            // cargo copies the library of what it was asked for to another folder, and leaves what it knows of its types.
            if let Some(folder) =
                file.parent().filter(|folder| is("rmeta") && !crates.folders.iter().any(|it| it == folder))
            {
                crates.folders.push(folder.to_owned());
            }
            let asked = which.iter().find(|it| is("rlib") && message["package_id"] == *it.id);
            if let Some(dependency) = asked.filter(|_| is_library(&message["target"])) {
                crates.externs.push((dependency.name.clone(), file.to_owned()));
            }
        }
    }
    crates
}

/// Why cargo failed.
fn failed(messages: &[Value], stderr: &str) -> Failed {
    let is_error = |message: &&Value| message["reason"] == "compiler-message" && message["message"]["level"] == "error";
    let Some(error) = messages.iter().find(is_error) else { return Failed::Cargo(first_error(stderr)) };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (name, message) = (text(&error["target"]["name"]).replace('-', "_"), text(&error["message"]["message"]));
    match message == "can't find crate for `std`" {
        true => Failed::Std(name),
        false => Failed::Rustc(name, message),
    }
}

pub(crate) fn first_error(stderr: &str) -> String {
    let line = stderr.lines().find_map(|line| line.strip_prefix("error: "));
    line.or_else(|| stderr.lines().next()).unwrap_or("cargo has failed and doesn't say why").to_owned()
}

#[cfg(test)]
mod tests;
