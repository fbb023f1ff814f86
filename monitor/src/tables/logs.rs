//! The cluster's events, or the end of an engine's log file.

use crate::app::App;
use crate::table::{Cell, Key, Row, Table, left, rest};
use crate::text;
use crate::theme::Tone;

/// What the page shows.
pub fn table(app: &App) -> Table {
    let Some(engine) = app.log_of else { return events(app) };
    let columns = [rest("LINE", "line", 20, 0)];
    let lines = match &app.log_file {
        Some((of, Ok(lines))) if *of == engine => &lines[..],
        _ => &[],
    };
    let row = |(place, line): (usize, &String)| {
        let clean = text::clean(line);
        let line = if app.theme.utf8 { clean } else { text::ascii(&clean) };
        let tone = tone(&line);
        Row { key: Key::Place(place), cells: vec![Cell::text(line).tone(tone)] }
    };
    Table::new(&columns, lines.iter().enumerate().map(row).collect(), "The log is empty.")
}

fn events(app: &App) -> Table {
    let columns = [left("UTC", "time", 8, 0), rest("EVENT", "event", 20, 0)];
    let row = |(place, (at, message)): (usize, &(u64, String))| {
        let line = super::line(message, &app.theme);
        let tone = tone(&line);
        Row {
            key: Key::Place(place),
            cells: vec![Cell::text(text::clock(*at)).tone(Tone::Dim), Cell::text(line).tone(tone)],
        }
    };
    let rows = app.figures().messages.iter().enumerate().map(row).collect();
    Table::new(&columns, rows, "Nothing has happened yet.")
}

fn tone(line: &str) -> Tone {
    let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
    if has(&["ERROR", "failed", "panicked", "ended its worker", "are lost", "killed by"]) {
        Tone::Bad
    } else if has(&["WARN", "started again", "drained", "stopped"]) {
        Tone::Warn
    } else {
        Tone::Normal
    }
}
