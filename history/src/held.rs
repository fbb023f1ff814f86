//! What takes memory in a cluster, variable by variable and room by room.

use chorus_protocol::{EngineId, LogState, SessionNumber, VariableUse, Variables};

/// Something that takes memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Whose.
    pub session: SessionNumber,
    /// Where; in the notebook if on no engine.
    pub engine: Option<EngineId>,
    /// What it is.
    pub kind: HeldKind,
    /// What it is called.
    pub name: String,
    /// What it takes; `None` if that isn't known.
    pub bytes: Option<u64>,
}

/// See [`Held`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldKind {
    /// A variable.
    Variable,
    /// A room.
    Room,
}

/// All that is told: first of the engines by their ids, then of the notebooks, the largest first.
pub fn held(state: &LogState) -> Vec<Held> {
    let mut all = Vec::new();
    for (&engine, it) in &state.engines {
        for (&session, variables) in &it.variables {
            add(&mut all, session, Some(engine), variables);
        }
    }
    for (&session, it) in &state.notebooks {
        add(&mut all, session, None, &it.variables);
        let of = |name, bytes| Held { session, engine: None, kind: HeldKind::Room, name, bytes };
        all.extend(it.rooms.iter().map(|room| {
            let by = if room.in_cells { "cells" } else { "the kernel" };
            of(format!("{} of {by}", room.number), Some(room.bytes))
        }));
        all.extend((it.other_rooms > 0).then(|| of(format!("{} others", it.other_rooms), None)));
    }
    all
}

fn add(all: &mut Vec<Held>, session: SessionNumber, engine: Option<EngineId>, variables: &Variables) {
    let of = |name, bytes| Held { session, engine, kind: HeldKind::Variable, name, bytes };
    all.extend(variables.told.iter().map(|VariableUse { name, bytes, .. }| of(name.clone(), *bytes)));
    all.extend((variables.others > 0).then(|| of(format!("{} others", variables.others), None)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_protocol::{LogEngine, NotebookUse, RoomUse};

    #[test]
    fn variables_and_rooms_stand_where_they_are() {
        let variable = |name: &str, bytes| VariableUse { name: name.into(), bytes, length: None };
        let on_engine = Variables { told: vec![variable("big", Some(9)), variable("odd", None)], others: 3 };
        let room = RoomUse { number: 7, bytes: 4096, in_cells: true };
        let engine = LogEngine { variables: [(1, on_engine)].into(), ..LogEngine::default() };
        let notebook = NotebookUse::new(Variables::new(vec![variable("own", Some(1))]), vec![room]);
        let state = LogState {
            engines: [(EngineId(2), engine)].into(),
            notebooks: [(1, notebook)].into(),
            ..LogState::default()
        };
        let told = held(&state);
        let told: Vec<_> = told.iter().map(|it| (it.engine.map(|id| id.0), it.name.as_str(), it.bytes)).collect();
        let expected = [
            (Some(2), "big", Some(9)),
            (Some(2), "odd", None),
            (Some(2), "3 others", None),
            (None, "own", Some(1)),
            (None, "7 of cells", Some(4096)),
        ];
        assert_eq!(told, expected);
    }
}
