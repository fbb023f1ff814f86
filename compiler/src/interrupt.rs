//! Ends a compilation that takes too long: kills the cargo and rustc that evcxr started.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Interrupts the compiler from another thread.
#[derive(Clone, Debug, Default)]
pub struct Interrupter {
    asked: Arc<AtomicBool>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
    name: String,
}

impl Interrupter {
    /// Ends what is being compiled; the evaluation then fails as interrupted. Nothing happens when nothing is.
    pub fn interrupt(&self) {
        self.asked.store(true, Ordering::SeqCst);
        for pid in builds(&processes(), std::process::id() as i32, compiles) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }

    /// A new cell begins: interrupts of the one before don't count any more.
    pub fn reset(&self) {
        self.asked.store(false, Ordering::SeqCst);
    }

    pub(crate) fn was_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }
}

/// The children of `root` that compile, with all their descendants, parents first, so that a build that loses its rustc
/// can't start the next one.
fn builds(processes: &[Process], root: i32, compiles: impl Fn(i32) -> bool) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<&Process>> = HashMap::new();
    for process in processes {
        children.entry(process.parent).or_default().push(process);
    }
    let of = |pid: i32| children.get(&pid).into_iter().flatten().copied();
    let mut found: Vec<i32> = of(root)
        .filter(|child| matches!(child.name.as_str(), "cargo" | "rustc" | "mold") && compiles(child.pid))
        .map(|child| child.pid)
        .collect();
    let mut at = 0;
    while let Some(&pid) = found.get(at) {
        found.extend(of(pid).map(|child| child.pid));
        at += 1;
    }
    found
}

/// Whether this process compiles for a cell. rust-analyzer calls cargo and rustc too, to ask for the packages, settings and
/// library of a workspace; it doesn't ask again when they are killed, and goes on with less than there is.
fn compiles(pid: i32) -> bool {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(crate::tools::ASKED.as_bytes()))
}

fn processes() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(|c: char| c.is_ascii_digit()))
        .filter_map(|entry| parse_stat(&std::fs::read_to_string(entry.path().join("stat")).ok()?))
        .collect()
}

/// `pid (name) state parent ...`; the name may hold anything, even parentheses.
fn parse_stat(stat: &str) -> Option<Process> {
    let (pid, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let parent = rest.split(' ').nth(1)?;
    Some(Process { pid: pid.parse().ok()?, parent: parent.parse().ok()?, name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_builds_of_this_process_and_their_descendants() {
        let process = |pid, parent, name: &str| Process { pid, parent, name: name.into() };
        let all = [
            process(1, 0, "init"),
            process(10, 1, "chorus"),
            process(11, 10, "cargo"),
            process(12, 11, "rustc"),
            process(13, 12, "ld"),
            process(14, 10, "chorus-engine"),
            process(15, 14, "cargo"),
            process(16, 1, "cargo"),
            process(17, 10, "rustc"),
        ];
        assert_eq!(builds(&all, 10, |pid| pid != 17), [11, 12, 13]);
    }

    #[test]
    fn what_compiles_is_told_from_questions() {
        let child = |variable: Option<&str>| {
            let mut command = std::process::Command::new("sleep");
            command.arg("60").envs(variable.map(|name| (name, "1"))).spawn().unwrap()
        };
        let mut children = [child(Some(crate::tools::ASKED)), child(None)];
        let told = children.each_mut().map(|child| {
            let told = compiles(child.id() as i32);
            child.kill().unwrap();
            child.wait().unwrap();
            told
        });
        assert_eq!(told, [true, false]);
    }

    #[test]
    fn stat_lines_with_odd_names() {
        let process = parse_stat("42 (a) b (c) S 7 42 42").unwrap();
        assert_eq!((process.pid, process.parent, process.name.as_str()), (42, 7, "a) b (c"));
        assert_eq!(parse_stat(""), None);
        assert!(processes().iter().any(|process| process.pid == std::process::id() as i32));
    }
}
