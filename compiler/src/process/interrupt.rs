//! Ends a compilation that takes too long: the compiler's process kills the cargo and rustc that evcxr started.

use chorus_system::process::{self, Listed};
use chorus_system::signal;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What else is to be done at an interrupt, as long as this says so.
type Told = Box<dyn Fn(&AtomicBool) + Send>;

/// Interrupts the compiler from another thread.
#[derive(Clone, Default)]
pub struct Interrupter {
    asked: Arc<AtomicBool>,
    told: Arc<Mutex<Option<Told>>>,
}

impl Interrupter {
    /// Ends what is being compiled; the evaluation then fails as interrupted. Nothing happens when nothing is.
    pub fn interrupt(&self) {
        self.ask();
        self.tell();
    }

    /// The first half of an interrupt, which takes no time: what is compiled for this cell has failed.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::SeqCst);
    }

    /// The second half, which may take a while: whoever compiles is told. Unless the next cell has begun since.
    pub fn tell(&self) {
        if let Some(told) = &*self.told.lock() {
            told(&self.asked);
        }
    }

    /// A new cell begins: interrupts of the one before don't count any more.
    pub fn reset(&self) {
        self.asked.store(false, Ordering::SeqCst);
    }

    pub(crate) fn was_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// Has this called at each interrupt, in the place of what was called before. It is to do nothing when what it is given
    /// doesn't hold (any more).
    pub(crate) fn on_interrupt(&self, told: impl Fn(&AtomicBool) + Send + 'static) {
        *self.told.lock() = Some(Box::new(told));
    }
}

impl fmt::Debug for Interrupter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Interrupter").field(&self.asked).finish()
    }
}

/// Kills what this process has started to compile something.
pub(crate) fn kill_builds() {
    for pid in builds(&process::all(), std::process::id(), compiles) {
        process::send(pid, signal::KILL);
    }
}

/// The children of `root` that compile, with all their descendants, parents first, so that a build that loses its rustc
/// can't start the next one.
fn builds(processes: &[Listed], root: u32, compiles: impl Fn(u32) -> bool) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<&Listed>> = HashMap::new();
    for process in processes {
        children.entry(process.parent).or_default().push(process);
    }
    let of = |pid: u32| children.get(&pid).into_iter().flatten().copied();
    let mut found: Vec<u32> = of(root)
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
fn compiles(pid: u32) -> bool {
    process::has_variable(pid, crate::tools::ASKED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_builds_of_this_process_and_their_descendants() {
        let process = |pid, parent, name: &str| Listed { pid, parent, name: name.into() };
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
            let told = compiles(child.id());
            child.kill().unwrap();
            child.wait().unwrap();
            told
        });
        assert_eq!(told, [true, false]);
    }
}
