//! Where in the user's cells something happened.

use chorus_compiler::{Call, Object};
use chorus_protocol::RunEvent;
use chorus_render::Place;

/// What places call the cell that runs.
const THIS_CELL: &str = "cell";

/// Where in the user's cells a panic happened, and how it came there.
pub fn place_of(event: &RunEvent, object: &Object, this_cell: u32) -> Option<Place> {
    let RunEvent::Panic(panic) = event else { return None };
    let calls = object.source.calls(&object.path, &panic.frames);
    let found = object.source.place(panic.line, panic.column).filter(|_| panic.file.ends_with("src/lib.rs"));
    let is_call = found.is_none();
    let found = found.or_else(|| calls.first().map(|call| call.place.clone()))?;
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let cell = |cell: u32| if cell == this_cell { THIS_CELL.to_owned() } else { format!("In[{cell}]") };
    let in_words = |call: &Call| {
        let place = format!("{} line {}", cell(call.place.cell), call.place.line);
        call.function.as_ref().map_or(place.clone(), |function| format!("{function}, {place}"))
    };
    Some(Place {
        cell: cell(found.cell),
        line: number(found.line),
        column: number(found.column),
        text: found.text,
        is_call,
        calls: calls.iter().map(in_words).collect(),
    })
}
