//! What the keys do.

use crate::table::{Cell, Key, Row, Table, left, rest};
use crate::theme::Tone;

const KEYS: [(&str, &str); 25] = [
    ("1-8, Tab", "pages, as they are named at the top"),
    ("arrows, PgUp, g, G", "move, also with hjkl; G in the logs follows the end"),
    ("Enter, click again", "open the engine, or show all of the row"),
    ("Esc", "back; drops the filter, then the marks; never quits"),
    ("/", "filter: text, regex, or `cpu > 50 and mem >= 1G`"),
    ("s, S", "sort by the next column; turn the order round"),
    ("Space, a", "mark an engine or all, for the next action"),
    ("H", "engines by host, and one by one; Enter unfolds a host"),
    ("y", "copy the row, or its error, to the clipboard"),
    ("f", "freeze what is shown, and go on"),
    ("L", "the engine's log; Left and Right: other logs"),
    ("n, N, w", "logs: the next or last line that / found; wrap lines"),
    ("e", "tasks: only what failed"),
    ("+, -, Left, Right, End", "stream: zoom, pan, follow the present"),
    ("i", "interrupt what runs on the engines"),
    ("r", "restart the engines' workers: variables are lost"),
    ("x", "send a signal to the engines' processes"),
    ("d", "drain: finish what they have, then leave"),
    ("+, -", "have more or fewer engines"),
    ("c", "tasks: cancel the map or the call"),
    ("C", "show another cluster"),
    ("p, <, >, comma, period", "replay: pause, slower, faster, 10 s back and on"),
    ("mouse", "wheel scrolls; click a page, figure, column, bar, row"),
    ("q, Ctrl-C, Ctrl-Z", "quit; Ctrl-Z goes to the background"),
    ("n/a", "isn't known. CPU% is of one core, so it can exceed 100"),
];

/// One row a key.
pub fn table() -> Table {
    let columns = [left("KEY", "key", 23, 0), rest("WHAT IT DOES", "what", 20, 0)];
    let row = |(place, (keys, what)): (usize, &(&str, &str))| Row {
        key: Key::Place(place),
        cells: vec![Cell::text(*keys).tone(Tone::Accent), Cell::text(*what)],
    };
    Table::new(&columns, KEYS.iter().enumerate().map(row).collect(), "")
}
