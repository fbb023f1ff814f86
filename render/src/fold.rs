//! What is the same on several engines is shown once.

use chorus_protocol::EngineId;

/// Puts equal things together, in the order of the first engine of each; with `each` leaves them apart.
pub(super) fn fold<'a, T: PartialEq + ?Sized>(
    things: impl Iterator<Item = (EngineId, &'a T)>,
    each: bool,
) -> Vec<(Vec<EngineId>, &'a T)> {
    let mut groups: Vec<(Vec<EngineId>, &T)> = Vec::new();
    for (engine, thing) in things {
        match groups.iter_mut().find(|(_, other)| !each && *other == thing) {
            Some((engines, _)) => engines.push(engine),
            None => groups.push((vec![engine], thing)),
        }
    }
    groups
}
