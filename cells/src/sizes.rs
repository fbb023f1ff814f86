//! What variables take, as far as those tell it who have them.

use crate::cluster::Cluster;
use chorus_compiler::Member;
use chorus_protocol::{EngineId, LogState, SessionNumber, VariableUse, Variables};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Engines tell of their variables once a second, when that has changed. So long is waited for one that hasn't told of all.
const LIMIT: Duration = Duration::from_millis(1500);

/// What was told, by those who have the variables.
#[derive(Debug, Default)]
pub struct Sizes(BTreeMap<Member, Vec<Variables>>);

impl Sizes {
    /// Adds what a member has told.
    pub fn add(&mut self, member: Member, variables: Variables) {
        self.0.entry(member).or_default().push(variables);
    }

    /// The size of a member's variable, if it was told.
    pub fn of(&self, member: Member, name: &str) -> Option<&VariableUse> {
        let is_it = |told: &&VariableUse| told.name == name;
        self.0.get(&member)?.iter().flat_map(|all| &all.told).find(is_it)
    }

    /// Whether nothing more is to be waited for: some are never told, where there are many.
    fn has_all(&self, member: Member, names: &[String]) -> bool {
        let others = self.0.get(&member).is_some_and(|all| all.iter().any(|it| it.others > 0));
        others || names.iter().all(|name| self.of(member, name).is_some())
    }

    /// Adds what the cluster's log tells of engines that have variables of these names.
    pub async fn add_engines(&mut self, cluster: &Cluster, names: &BTreeMap<EngineId, Vec<String>>) {
        // A cluster that doesn't answer tells nothing, and the cells that need it say so.
        let Ok(status) = cluster.status().await else { return };
        let own = status.users.iter().filter(|user| user.own).map(|user| user.number).collect();
        let (mut entries, mut state) = (cluster.follow_log(u64::MAX), LogState::default());
        let deadline = Instant::now() + LIMIT;
        while let Ok(Some(new)) = timeout_at(deadline, entries.recv()).await {
            new.iter().for_each(|entry| state.apply(entry));
            self.take(&state, &own);
            if names.iter().all(|(engine, names)| self.has_all(Member::Engine(*engine), names)) {
                return;
            }
        }
    }

    /// What is told of engines' variables in these sessions.
    fn take(&mut self, state: &LogState, sessions: &BTreeSet<SessionNumber>) {
        for (engine, it) in &state.engines {
            let told = it.variables.iter().filter(|(session, _)| sessions.contains(session));
            self.0.insert(Member::Engine(*engine), told.map(|(_, variables)| variables.clone()).collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_protocol::LogEngine;

    #[test]
    fn an_engine_has_told_all_when_it_has_told_of_each_name() {
        let of = |name: &str| VariableUse { name: name.into(), bytes: Some(8), length: None };
        let told = |names: &[&str]| Variables::new(names.iter().map(|name| of(name)).collect());
        let (engine, mut state) = (Member::Engine(EngineId(2)), LogState::default());
        let variables = BTreeMap::from([(1, told(&["other"])), (3, told(&["a", "b"]))]);
        state.engines.insert(EngineId(2), LogEngine { variables, ..LogEngine::default() });
        let mut sizes = Sizes::default();
        sizes.take(&state, &BTreeSet::from([3]));
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert!(sizes.has_all(engine, &names(&["a", "b"])) && sizes.of(engine, "other").is_none());
        assert!(!sizes.has_all(engine, &names(&["a", "new"])));
        assert!(sizes.has_all(Member::Local, &[]) && !sizes.has_all(Member::Local, &names(&["a"])));
        let many: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        sizes.add(Member::Local, told(&many.iter().map(String::as_str).collect::<Vec<_>>()));
        assert!(sizes.has_all(Member::Local, &many), "the small ones are never told");
    }
}
