//! `%snapshot`: whether variables outlive the workers that die.

use super::Executor;
use crate::publisher::Publisher;
use chorus_magics::SnapshotCommand;
use chorus_protocol::{EngineId, SnapshotPolicy, SnapshotState, name_engines, size};
use std::collections::BTreeMap;

impl Executor {
    pub(super) async fn snapshot_command(&mut self, command: SnapshotCommand, publisher: &Publisher) {
        match command {
            SnapshotCommand::Set(policy) => {
                self.snapshots = policy;
                publisher.say(&format!("{} From the next cell on.", describe(policy))).await;
            }
            SnapshotCommand::Status => {
                let local = match &self.local {
                    Some(local) => local.lock().await.snapshot().cloned(),
                    None => None,
                };
                let engines = self.engines.current().map(|cluster| cluster.snapshots()).unwrap_or_default();
                publisher.say(&status(self.snapshots, local, engines)).await;
            }
        }
    }
}

fn describe(policy: SnapshotPolicy) -> String {
    match policy {
        SnapshotPolicy::Off => "Snapshots are off.".to_owned(),
        SnapshotPolicy::UpTo(u64::MAX) => "Snapshots are on, for workers of any size.".to_owned(),
        SnapshotPolicy::UpTo(limit) => format!("Snapshots are on, for workers that hold up to {}.", size(limit)),
    }
}

/// The policy, and what each worker's last run was told of its snapshot.
fn status(policy: SnapshotPolicy, local: Option<SnapshotState>, engines: BTreeMap<EngineId, SnapshotState>) -> String {
    let mut lines = vec![describe(policy)];
    lines.extend(local.map(|state| format!("the notebook: {}", state_of(&state))));
    // Those that have none for the same reason stand together.
    let mut groups: Vec<(String, Vec<EngineId>)> = Vec::new();
    for (engine, state) in engines {
        let text = state_of(&state);
        match groups.iter_mut().find(|(same, _)| *same == text) {
            Some((_, ids)) => ids.push(engine),
            None => groups.push((text, vec![engine])),
        }
    }
    lines.extend(groups.iter().map(|(text, ids)| format!("{}: {text}", name_engines(ids))));
    if lines.len() == 1 {
        lines.push("no cell has run yet".to_owned());
    }
    lines.join("\n")
}

fn state_of(state: &SnapshotState) -> String {
    match state {
        Ok(taken) => {
            let milliseconds = taken.micros as f64 / 1000.0;
            let ahead = match taken.ahead {
                0 => String::new(),
                bytes => format!("; {} were copied before the run", size(bytes)),
            };
            format!("the last run had a snapshot, taken in {milliseconds:.2} ms, of {}{ahead}", size(taken.bytes))
        }
        Err(reason) => format!("the last run had no snapshot: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_protocol::{NoSnapshot, Taken};

    #[test]
    fn the_status_says_what_was_taken_and_why_nothing_was() {
        assert_eq!(status(SnapshotPolicy::Off, None, BTreeMap::new()), "Snapshots are off.\nno cell has run yet");
        let taken = Ok(Taken { micros: 210, bytes: 12 << 20, ahead: 0 });
        let ahead = Ok(Taken { micros: 210, bytes: 12 << 20, ahead: 11 << 20 });
        let threads = Err(NoSnapshot::Threads("`io` blocks signals".into()));
        let engines = [(0, taken.clone()), (1, threads.clone()), (2, threads)];
        let engines = engines.into_iter().map(|(id, state)| (EngineId(id), state)).collect();
        let lines = [
            "Snapshots are on, for workers that hold up to 1.0 GiB.",
            "the notebook: the last run had a snapshot, taken in 0.21 ms, of 12.0 MiB; 11.0 MiB were copied before the run",
            "engine 0: the last run had a snapshot, taken in 0.21 ms, of 12.0 MiB",
            "engines 1-2: the last run had no snapshot: threads that cells started can't be kept: `io` blocks signals",
        ];
        assert_eq!(status(SnapshotPolicy::default(), Some(ahead), engines), lines.join("\n"));
    }
}
