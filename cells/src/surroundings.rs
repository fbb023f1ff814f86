//! The folder and the environment that the notebook's cells have: other programs and files of a cell's magics are to be
//! found where its Rust finds them.

use chorus_compiler::users_path;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// Those of the notebook's worker; the kernel's own, with the user's PATH, where it can't say.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// A path that leads to the folder even when that was removed.
    pub folder: Option<PathBuf>,
    /// All variables.
    pub env: Option<Vec<(OsString, OsString)>>,
}

impl Surroundings {
    /// A variable of the environment.
    pub fn var(&self, name: &str) -> Option<OsString> {
        match &self.env {
            Some(env) => env.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone()),
            None if name == "PATH" => Some(users_path()),
            None => std::env::var_os(name),
        }
    }

    /// Where a path leads that a user wrote, with `~` for the home folder.
    pub fn path(&self, file: &str) -> PathBuf {
        let folder = self.folder.as_deref().unwrap_or(Path::new(""));
        let rest = file.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/'));
        match (rest, self.var("HOME")) {
            (Some(rest), Some(home)) => folder.join(home).join(rest.trim_start_matches('/')),
            _ => folder.join(file),
        }
    }

    /// Such a path as users know it: relative to the folder, if it lies there.
    pub fn shown<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        let below = self.folder.as_deref().and_then(|folder| path.strip_prefix(folder).ok());
        below.unwrap_or(path).display()
    }

    /// A program of this name. By its path it is started without a fork, which is slow in a process with this much
    /// memory.
    pub fn command(&self, name: &str) -> Command {
        let found = self.var("PATH").and_then(|path| find(name, &path));
        let mut command = Command::new(found.unwrap_or_else(|| name.into()));
        match &self.env {
            Some(env) => _ = command.env_clear().envs(env.iter().map(|(name, value)| (name, value))),
            None => _ = command.env("PATH", users_path()),
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
            match std::fs::read_link(folder) {
                Ok(real) => command.env("PWD", real),
                Err(_) => command.env_remove("PWD"),
            };
        }
        command
    }
}

fn find(name: &str, path: &OsStr) -> Option<PathBuf> {
    let mut programs = std::env::split_paths(path).map(|folder| folder.join(name));
    programs.find(|program| !name.contains('/') && program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_where_those_of_cells_do() {
        let env = Some(vec![("HOME".into(), "/home/of cells".into()), ("PATH".into(), "/nowhere:/bin".into())]);
        let there = Surroundings { folder: Some("/tmp/x".into()), env };
        let path = |file| there.path(file).display().to_string();
        assert_eq!(
            ["a/~", "/a", "~/a b", "~", "~a/b"].map(path),
            ["/tmp/x/a/~", "/a", "/home/of cells/a b", "/home/of cells/", "/tmp/x/~a/b"]
        );
        assert_eq!(Surroundings::default().path("a"), Path::new("a"));
        assert_eq!(there.command("sh").as_std().get_program(), "/bin/sh");
        assert_eq!(there.command("./sh").as_std().get_program(), "./sh");
    }
}
