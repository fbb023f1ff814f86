//! The graph of calls, as text and as a picture: `%tasks --graph`.

use super::output::{Bundle, html_bundle};
use super::table::one_line;
use super::tasks::{TaskLine, TaskState, state};
use html_escape::encode_text;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The most calls that are drawn: the last ones.
const MOST: usize = 300;
/// The beginning of a label in a box, in characters.
const LABEL: usize = 22;
const BOX: (usize, usize) = (180, 40);
const GAP: (usize, usize) = (60, 14);

/// A call in the graph.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphTask {
    /// What is known of it.
    pub line: TaskLine,
    /// The numbers of the calls that it needs. They are smaller than its own.
    pub needs: Vec<u64>,
}

/// What `%tasks --graph` shows of these calls, which are in the order of their numbers.
pub fn task_graph(tasks: &[GraphTask]) -> Bundle {
    if tasks.is_empty() {
        return super::plain_bundle("There are no calls: `px::call!` in a cell makes one.");
    }
    let left_out = tasks.len().saturating_sub(MOST);
    let tasks = &tasks[left_out..];
    let note = match left_out {
        0 => String::new(),
        count => format!("{count} earlier calls are left out.\n"),
    };
    let html = format!("<div>{}</div>{}", encode_text(&note), picture(tasks));
    html_bundle(note.clone() + &text(tasks), html)
}

fn text(tasks: &[GraphTask]) -> String {
    let names: BTreeMap<u64, &str> = tasks.iter().map(|it| (it.line.number, it.line.label.as_str())).collect();
    let mut text = String::new();
    for GraphTask { line, needs } in tasks {
        let name = |number: &u64| match names.get(number) {
            Some(name) => format!("{number} {}", one_line(name, LABEL)),
            None => number.to_string(),
        };
        let needs: Vec<String> = needs.iter().map(name).collect();
        let needs = if needs.is_empty() { String::new() } else { format!(" ← {}", needs.join(", ")) };
        let (label, state) = (one_line(&line.label, LABEL), one_line(&state(&line.state), 60));
        _ = writeln!(text, "{} {label}{needs}: {state}", line.number);
    }
    text
}

/// The column of each call: behind all that it needs.
fn columns(tasks: &[GraphTask]) -> Vec<usize> {
    let mut by_number: BTreeMap<u64, usize> = BTreeMap::new();
    for task in tasks {
        let behind = task.needs.iter().filter_map(|number| by_number.get(number)).max();
        by_number.insert(task.line.number, behind.map_or(0, |column| column + 1));
    }
    by_number.into_values().collect()
}

/// Where each box stands: in its column, below those before, as near to what it needs as that allows.
fn places(tasks: &[GraphTask]) -> Vec<(usize, usize)> {
    let columns = columns(tasks);
    let mut rows: BTreeMap<usize, usize> = BTreeMap::new();
    let mut placed: BTreeMap<u64, usize> = BTreeMap::new();
    let mut places = Vec::new();
    for (task, column) in tasks.iter().zip(columns) {
        let of_needs: Vec<usize> = task.needs.iter().filter_map(|number| placed.get(number).copied()).collect();
        let wanted = if of_needs.is_empty() { 0 } else { of_needs.iter().sum::<usize>() / of_needs.len() };
        let next = rows.entry(column).or_default();
        let row = wanted.max(*next);
        *next = row + 1;
        placed.insert(task.line.number, row);
        places.push((column * (BOX.0 + GAP.0), row * (BOX.1 + GAP.1)));
    }
    places
}

fn picture(tasks: &[GraphTask]) -> String {
    let places = places(tasks);
    let at: BTreeMap<u64, (usize, usize)> =
        tasks.iter().zip(&places).map(|(task, place)| (task.line.number, *place)).collect();
    let width = places.iter().map(|(x, _)| x + BOX.0).max().unwrap_or(0) + 2;
    let height = places.iter().map(|(_, y)| y + BOX.1).max().unwrap_or(0) + 2;
    let mut body = String::new();
    for (task, (x, y)) in tasks.iter().zip(&places) {
        for (from_x, from_y) in task.needs.iter().filter_map(|number| at.get(number)) {
            let (x1, y1, y2) = (from_x + BOX.0, from_y + BOX.1 / 2, y + BOX.1 / 2);
            let (near, far) = (x1 + GAP.0 / 2, x.saturating_sub(GAP.0 / 2));
            _ = write!(body, r##"<path d="M{x1} {y1} C{near} {y1} {far} {y2} {x} {y2}" fill="none" stroke="#888"/>"##);
        }
    }
    for (GraphTask { line, .. }, (x, y)) in tasks.iter().zip(&places) {
        let (label, full) = (one_line(&line.label, LABEL), one_line(&line.label, 200));
        let told = state(&line.state);
        _ = write!(
            body,
            concat!(
                r##"<g><title>{}: {}</title><rect x="{}" y="{}" width="{}" height="{}" rx="4" fill="{}" stroke="#666"/>"##,
                r##"<text x="{}" y="{}" fill="#000">{} {}</text><text x="{}" y="{}" fill="#333" font-size="10">{}</text></g>"##
            ),
            encode_text(&full),
            encode_text(&one_line(&told, 200)),
            x + 1,
            y + 1,
            BOX.0,
            BOX.1,
            colour(&line.state),
            x + 8,
            y + 17,
            line.number,
            encode_text(&label),
            x + 8,
            y + 32,
            encode_text(&one_line(&told, 30)),
        );
    }
    format!(
        r#"<div style="overflow: auto"><svg width="{width}" height="{height}" font-family="sans-serif" font-size="12">{body}</svg></div>"#
    )
}

fn colour(state: &TaskState) -> &'static str {
    match state {
        TaskState::Waiting(_) => "#eeeeee",
        TaskState::Running(_) => "#ffe08a",
        TaskState::Done(_) => "#bfe3bf",
        TaskState::Failed(_) => "#f4b6b0",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_protocol::EngineId;

    fn task(number: u64, label: &str, needs: &[u64], state: TaskState) -> GraphTask {
        GraphTask { line: TaskLine { number, label: label.into(), state, seconds: 0.5 }, needs: needs.to_vec() }
    }

    fn diamond() -> Vec<GraphTask> {
        vec![
            task(1, "load", &[], TaskState::Done(Some(EngineId(0)))),
            task(2, "left", &[1], TaskState::Running(vec![EngineId(1)])),
            task(3, "<right>", &[1], TaskState::Failed("it <failed>".into())),
            task(5, "join", &[2, 3, 4], TaskState::Waiting(vec!["left".into()])),
        ]
    }

    #[test]
    fn each_stands_behind_what_it_needs() {
        assert_eq!(columns(&diamond()), [0, 1, 1, 2]);
        let places = places(&diamond());
        assert_eq!(places[1].0, places[2].0);
        assert!(places[1].1 < places[2].1 && places[3].0 > places[2].0, "{places:?}");
    }

    #[test]
    fn text_names_what_each_needs() {
        let shown = task_graph(&diamond());
        let text = shown["text/plain"].as_str().unwrap();
        assert!(text.contains("2 left ← 1 load: running on engine 1\n"), "{text}");
        assert!(text.contains("5 join ← 2 left, 3 <right>, 4: waiting for left\n"), "{text}");
    }

    #[test]
    fn the_picture_has_a_box_and_an_arrow_each_and_obeys_nobody() {
        let shown = task_graph(&diamond());
        let page = shown["text/html"].as_str().unwrap();
        assert_eq!((page.matches("<rect").count(), page.matches("<path").count()), (4, 4));
        assert!(page.contains("&lt;right&gt;") && !page.contains("<right>"), "{page}");
    }

    #[test]
    fn of_very_many_the_last_are_drawn() {
        let tasks: Vec<GraphTask> =
            (1..=1000).map(|number| task(number, "f", &[number - 1], TaskState::Done(None))).collect();
        let shown = task_graph(&tasks);
        assert!(shown["text/plain"].as_str().unwrap().starts_with("700 earlier calls are left out.\n"));
        assert!(task_graph(&[])["text/plain"].as_str().unwrap().starts_with("There are no calls"));
    }
}
