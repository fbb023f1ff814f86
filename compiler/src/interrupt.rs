//! Ends a compilation that takes too long: kills the cargo and rustc that evcxr started.

use chorus_system::process::{self, Listed};
use chorus_system::signal;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Interrupts the compiler from another thread.
#[derive(Clone, Debug, Default)]
pub struct Interrupter {
    asked: Arc<AtomicBool>,
    /// How often anybody has.
    times: Arc<AtomicU64>,
}

impl Interrupter {
    /// Ends what is being compiled; the evaluation then fails as interrupted. Nothing happens when nothing is.
    pub fn interrupt(&self) {
        self.asked.store(true, Ordering::SeqCst);
        self.times.fetch_add(1, Ordering::SeqCst);
        for pid in builds(&process::all(), std::process::id()) {
            process::send(pid, signal::KILL);
        }
    }

    /// A new cell begins: interrupts of the one before don't count any more.
    pub fn reset(&self) {
        self.asked.store(false, Ordering::SeqCst);
    }

    /// How many interrupts there were, whatever cells have begun since.
    pub(crate) fn times(&self) -> u64 {
        self.times.load(Ordering::SeqCst)
    }

    pub(crate) fn was_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }
}

/// The build programs among the children of `root`, with all their descendants, parents first, so that a build that
/// loses its rustc can't start the next one.
fn builds(processes: &[Listed], root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<&Listed>> = HashMap::new();
    for process in processes {
        children.entry(process.parent).or_default().push(process);
    }
    let of = |pid: u32| children.get(&pid).into_iter().flatten().copied();
    let mut found: Vec<u32> = of(root)
        .filter(|child| matches!(child.name.as_str(), "cargo" | "rustc" | "mold") && !is_question(child.pid))
        .map(|child| child.pid)
        .collect();
    let mut at = 0;
    while let Some(&pid) = found.get(at) {
        found.extend(of(pid).map(|child| child.pid));
        at += 1;
    }
    found
}

/// Whether rust-analyzer asks cargo for the packages or settings of a workspace. It doesn't ask again, and goes on with less
/// than there is. It alone uses this flag.
fn is_question(pid: u32) -> bool {
    process::arguments(pid).iter().any(|argument| argument.contains("unstable-options"))
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
        ];
        assert_eq!(builds(&all, 10), [11, 12, 13]);
    }
}
