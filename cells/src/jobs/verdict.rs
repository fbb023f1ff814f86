//! Engines that keep a map's results give them their name when the map has come to its end, and not before: they wait to
//! hear of it. The word stands in the room of results, since nobody else on the way knows more than that there are no more
//! items.

use chorus_protocol::EngineId;
use px::map::Error;
use std::collections::BTreeSet;

/// Of one map.
pub(super) struct Verdict {
    /// None if nobody waits for it, or it was told.
    room: Option<String>,
    /// Engines that have done all items of their own.
    ready: BTreeSet<EngineId>,
}

impl Verdict {
    /// Of a map with this room of results, whose engines may wait for it.
    pub(super) fn new(is_awaited: bool, room: &str) -> Verdict {
        Verdict { room: is_awaited.then(|| room.to_owned()), ready: BTreeSet::new() }
    }

    /// Tells engines whether their results get the name; the first time counts. An error if they can't be told.
    pub(super) fn tell(&mut self, is_whole: bool) -> Result<(), Error> {
        let Some(room) = &self.room else { return Ok(()) };
        px::map::tell_verdict(room, is_whole)?;
        self.room = None;
        Ok(())
    }

    /// An engine has done all items of its own. When all that are at work have, the map has come to its end.
    pub(super) fn ready<'a>(
        &mut self,
        engine: EngineId,
        mut at_work: impl Iterator<Item = &'a EngineId>,
    ) -> Result<(), Error> {
        self.ready.insert(engine);
        if at_work.all(|engine| self.ready.contains(engine)) { self.tell(true) } else { Ok(()) }
    }
}
