//! The engines by host: a row for each, and below those that are unfolded, their engines.

use crate::app::App;
use crate::table::{Cell, Column, Key, Row, Sort, Table};
use crate::text;
use crate::theme::Tone;
use chorus_protocol::EngineId;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What engines do, the most notable first.
const STATES: [&str; 5] = ["busy", "waiting", "starting", "draining", "idle"];

/// A host's name as a number, which a row's key can be.
fn number(host: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    host.hash(&mut hasher);
    hasher.finish()
}

/// Folds a table of engines, which stays in its order within a host. Also tells which engines each host has.
pub fn fold(app: &App, table: Table, sort: Sort) -> (Table, BTreeMap<u64, Vec<EngineId>>) {
    let Table { mut columns, rows, shown, total, empty } = table;
    let mut hosts: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    let place = columns.iter().position(|column| column.name == "host");
    for row in rows {
        let host = place.and_then(|place| row.cells.get(place)).map_or(String::new(), |cell| cell.text.clone());
        hosts.entry(host).or_default().push(row);
    }
    let engines = |rows: &[Row]| {
        let engines = rows.iter().filter_map(|row| if let Key::Engine(engine) = row.key { Some(engine) } else { None });
        engines.collect::<Vec<EngineId>>()
    };
    let by_host = hosts.iter().map(|(host, rows)| (number(host), engines(rows))).collect();
    let folded = hosts.iter().map(|(host, rows)| Row {
        key: Key::Host(number(host)),
        cells: columns.iter().enumerate().map(|(at, column)| sum(app, column, at, host, rows)).collect(),
    });
    let folded = Table { rows: folded.collect(), ..Table::new(&columns, Vec::new(), empty) }.sort(sort);
    let mut below: BTreeMap<u64, Vec<Row>> = hosts.into_iter().map(|(host, rows)| (number(&host), rows)).collect();
    let mut rows = Vec::new();
    for row in folded.rows {
        let Key::Host(host) = row.key else { continue };
        rows.push(row);
        if app.unfolded.contains(&host) {
            rows.extend(below.remove(&host).unwrap_or_default());
        }
    }
    // It says which row is which.
    columns.iter_mut().filter(|column| column.name == "host").for_each(|column| column.rank = 0);
    (Table { columns, rows, shown, total, empty }, by_host)
}

/// What a host's engines come to in a column.
fn sum(app: &App, column: &Column, at: usize, host: &str, rows: &[Row]) -> Cell {
    let cells = || rows.iter().filter_map(|row| row.cells.get(at));
    let known: Vec<f64> = cells().filter_map(|cell| cell.number).collect();
    let total = (!known.is_empty()).then(|| known.iter().sum::<f64>());
    let longest = known.iter().copied().max_by(f64::total_cmp);
    let mean = total.map(|total| total / known.len() as f64);
    let worst = |bad: Tone| if total.is_some_and(|total| total > 0.0) { bad } else { Tone::Dim };
    match column.name {
        "" if column.title.trim().is_empty() => {
            let is_open = app.unfolded.contains(&number(host));
            let has = |mark: &str| cells().any(|cell| cell.text.contains(mark));
            let marks = [app.theme.mark(), app.theme.warning()].into_iter().find(|mark| has(mark)).unwrap_or(" ");
            Cell::text(format!("{}{marks}", app.theme.fold(is_open))).tone(Tone::Warn)
        }
        "" => Cell { curve: mean_curve(cells().map(|cell| &cell.curve[..])), tone: Tone::Busy, ..Cell::default() },
        "id" => Cell::number(Some(rows.len() as f64), |count| format!("x{count}")).tone(Tone::Accent),
        "host" => Cell::text(host).tone(Tone::Accent),
        "state" => {
            let first = STATES.into_iter().find_map(|state| cells().find(|cell| cell.text == state));
            first.cloned().unwrap_or_default()
        }
        "running" => {
            let place = |name| STATES.iter().position(|it| *it == name);
            let mut counts = [0usize; STATES.len()];
            for row in rows {
                let state = row.cells.iter().find_map(|cell| place(cell.text.as_str()));
                state.into_iter().for_each(|state| counts[state] += 1);
            }
            let told = STATES.iter().zip(counts).filter(|(_, count)| *count > 0);
            Cell::text(told.map(|(state, count)| format!("{count} {state}")).collect::<Vec<_>>().join(", "))
        }
        "pid" | "session" => Cell::default(),
        "time" | "seen" => match longest {
            Some(seconds) => Cell::millis(Some((seconds * 1000.0) as u64)).tone(Tone::Dim),
            None => Cell::default(),
        },
        "cpu" => Cell::number(mean, |cpu| format!("{cpu:.0}")).tone(super::engines::load(mean)),
        "gpu" => Cell::number(mean, |busy| format!("{busy:.0}")),
        "queue" | "done" => Cell::number(total, |count| format!("{count}")).tone(Tone::Dim),
        "failed" | "restarts" => Cell::number(total, |count| format!("{count}")).tone(worst(Tone::Bad)),
        // All others are bytes.
        _ => Cell::number(total, |bytes| text::bytes(bytes as u64)),
    }
}

/// Of each second, the mean of what is known.
fn mean_curve<'a>(curves: impl Iterator<Item = &'a [Option<f32>]>) -> Vec<Option<f32>> {
    let mut sums: Vec<(f32, u32)> = Vec::new();
    for curve in curves {
        sums.resize(sums.len().max(curve.len()), (0.0, 0));
        for (sum, value) in sums.iter_mut().zip(curve) {
            value.iter().for_each(|value| *sum = (sum.0 + value, sum.1 + 1));
        }
    }
    sums.into_iter().map(|(sum, count)| (count > 0).then(|| sum / count as f32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_the_mean_of_what_is_known() {
        let curves: [&[Option<f32>]; 3] = [&[Some(1.0), None, None], &[Some(0.5), Some(0.5), None], &[]];
        assert_eq!(mean_curve(curves.into_iter()), [Some(0.75), Some(0.5), None]);
        assert_eq!(mean_curve(std::iter::empty()), []);
    }
}
