//! What engines did when, as text and as a picture: `%tasks --stream`.

use super::output::{Bundle, html_bundle};
use super::table::one_line;
use super::time::duration;
use chorus_history::{Bar, BarKind, Figures};
use chorus_protocol::EngineId;
use html_escape::encode_text;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// The width of the text's rows, in characters.
const COLUMNS: usize = 60;
/// The width of the picture's rows, in pixels.
const WIDTH: f64 = 800.0;
const ROW: usize = 20;
const LABELS: usize = 80;
/// Before a map begins, what was compiled and sent for it; in milliseconds.
const BEFORE: u64 = 3_000;
/// Without a map, so far back; in milliseconds.
const RECENT: u64 = 60_000;

/// What `%tasks --stream` shows: the last map, or the last minute if there was none.
pub fn task_stream(figures: &Figures) -> Bundle {
    let Some((title, from, to)) = span(figures) else {
        return super::plain_bundle("Nothing has run on the engines yet.");
    };
    let bars: Vec<&Bar> = figures.stream.between(from, to).collect();
    // Until something was compiled or sent, there is nothing to see.
    let from = bars.iter().map(|bar| bar.from).min().unwrap_or(from).max(from);
    let mut rows: BTreeMap<Option<EngineId>, Vec<&Bar>> =
        figures.state.engines.keys().map(|engine| (Some(*engine), Vec::new())).collect();
    bars.into_iter().for_each(|bar| rows.entry(bar.engine).or_default().push(bar));
    let time = duration(Duration::from_millis(to - from));
    let title = format!("{title}: {time}");
    let text = text(&title, from, to, &rows);
    let html = format!("<div>{}</div>{}", encode_text(&title), picture(from, to, &rows));
    html_bundle(text, html)
}

/// What is shown, from when and until when.
fn span(figures: &Figures) -> Option<(String, u64, u64)> {
    let open = figures.state.maps.iter().max_by_key(|(_, map)| map.opened);
    let open = open.map(|((session, map), of)| (figures.map_label(*session, *map), of.opened, figures.now));
    let ended = figures.ended_maps.back().map(|map| (map.label.as_str(), map.of.opened, map.at));
    if let Some((label, opened, until)) = open.or(ended) {
        let compiled = |bar: &&Bar| bar.kind == BarKind::Compile && bar.to <= opened && bar.to + BEFORE >= opened;
        let begun = figures.stream.bars().filter(compiled).map(|bar| bar.from).max().unwrap_or(opened);
        return Some((format!("`{}`", one_line(label, 80)), begun.min(opened), until.max(opened + 1)));
    }
    figures.stream.bars().next()?;
    Some(("the last minute".to_owned(), figures.now.saturating_sub(RECENT), figures.now.max(1)))
}

fn name(engine: Option<EngineId>) -> String {
    engine.map_or("notebook".to_owned(), |engine| format!("engine {engine}"))
}

fn text(title: &str, from: u64, to: u64, rows: &BTreeMap<Option<EngineId>, Vec<&Bar>>) -> String {
    let mut text = format!("{title}\n");
    for (engine, bars) in rows {
        let mut line = vec!['·'; COLUMNS];
        for bar in bars {
            let place = |at: u64| (fraction(at, from, to) * COLUMNS as f64) as usize;
            let (first, last) = (place(bar.from).min(COLUMNS - 1), place(bar.to).max(place(bar.from) + 1));
            line[first..last.min(COLUMNS)].fill(letter(bar.kind));
        }
        let busy = busy(bars, from, to);
        _ = writeln!(text, "{:<10} {} {busy:3.0} %", name(*engine), line.iter().collect::<String>());
    }
    text + "█ runs  ▒ on its way  c compiles  · idle\n"
}

/// How much of the time something ran, in percent.
fn busy(bars: &[&Bar], from: u64, to: u64) -> f64 {
    let ran = bars.iter().filter(|bar| matches!(bar.kind, BarKind::Run | BarKind::Items));
    let time: u64 = ran.map(|bar| bar.to.min(to).saturating_sub(bar.from.max(from))).sum();
    (time as f64 * 100.0 / (to - from).max(1) as f64).min(100.0)
}

fn fraction(at: u64, from: u64, to: u64) -> f64 {
    at.clamp(from, to).saturating_sub(from) as f64 / to.saturating_sub(from).max(1) as f64
}

fn letter(kind: BarKind) -> char {
    match kind {
        BarKind::Run | BarKind::Items => '█',
        BarKind::Transfer => '▒',
        BarKind::Compile => 'c',
    }
}

fn colour(bar: &Bar) -> &'static str {
    match (bar.kind, bar.end) {
        (_, Some(end)) if end != chorus_protocol::RunEnd::Ok => "#d62728",
        (BarKind::Run | BarKind::Items, _) => "#4c78a8",
        (BarKind::Transfer, _) => "#f2b447",
        (BarKind::Compile, _) => "#9467bd",
    }
}

fn picture(from: u64, to: u64, rows: &BTreeMap<Option<EngineId>, Vec<&Bar>>) -> String {
    let mut body = String::new();
    for (row, (engine, bars)) in rows.iter().enumerate() {
        let y = row * ROW;
        _ = write!(body, r#"<text x="0" y="{}">{}</text>"#, y + 14, encode_text(&name(*engine)));
        _ = write!(body, r##"<rect x="{LABELS}" y="{y}" width="{WIDTH}" height="{}" fill="#8882"/>"##, ROW - 3);
        let mut until = f64::MIN;
        for bar in bars {
            let x = fraction(bar.from, from, to) * WIDTH;
            let end = fraction(bar.to, from, to) * WIDTH;
            // What nobody could see beside the one before is left out, or a long map would be a very large picture.
            if end - until < 0.5 && bar.end.is_none() {
                continue;
            }
            until = end;
            let (x, width) = (x + LABELS as f64, (end - x).max(0.5));
            let (label, time) = (one_line(&bar.label, 80), duration(Duration::from_millis(bar.to - bar.from)));
            _ = write!(
                body,
                r#"<rect x="{x:.1}" y="{y}" width="{width:.1}" height="{}" fill="{}"><title>{}, {time}</title></rect>"#,
                ROW - 3,
                colour(bar),
                encode_text(&label),
            );
        }
        let busy = busy(bars, from, to);
        _ = write!(body, r#"<text x="{}" y="{}">{busy:.0} %</text>"#, LABELS as f64 + WIDTH + 6.0, y + 14);
    }
    let (width, height) = (LABELS as f64 + WIDTH + 50.0, rows.len() * ROW);
    let legend = [("#4c78a8", "runs"), ("#f2b447", "on its way"), ("#9467bd", "compiles"), ("#d62728", "failed")];
    let sample = "display: inline-block; width: 0.8em; height: 0.8em; background";
    let legend: String =
        legend.iter().map(|(colour, name)| format!(r#"<span style="{sample}: {colour}"></span> {name} "#)).collect();
    format!(
        r#"<div style="overflow: auto"><svg width="{width}" height="{height}" font-family="sans-serif" font-size="12" fill="currentColor">{body}</svg><div>{legend}</div></div>"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_protocol::{EngineInfo, LogEntry, LogEvent, RunEnd, Took, Work};

    fn figures(events: Vec<(u64, LogEvent)>) -> Figures {
        let mut figures = Figures::default();
        let info = EngineInfo { pid: 1, host: "here".into(), cores: 1, ..EngineInfo::default() };
        let up = |engine| (0, LogEvent::EngineUp { engine: EngineId(engine), info: info.clone() });
        for (number, (at, event)) in (1..).zip([up(0), up(1)].into_iter().chain(events)) {
            figures.apply(&LogEntry { number, at: 1_000_000 + at, event });
        }
        figures
    }

    fn a_map() -> Vec<(u64, LogEvent)> {
        let (session, map, engine) = (1, 4, EngineId(0));
        let took = Took::default();
        let label = "|x| <slow>(x)".to_owned();
        let work = Work::Map(map);
        let done = LogEvent::MapDone { session, map, engine, items: 5, failed: 0, pieces: 1, micros: 500_000, left: 0 };
        vec![
            (1_000, LogEvent::Compiled { session, label: "f".into(), micros: 500_000, cached: false }),
            (1_000, LogEvent::MapOpened { session, map, items: Some(5), chunk: None }),
            (1_000, LogEvent::RunQueued { session, run: 1, work, label, engines: vec![engine] }),
            (1_500, LogEvent::RunStarted { session, run: 1, engine, snapshot: None }),
            (2_500, done),
            (2_500, LogEvent::RunEnded { session, run: 1, engine, end: RunEnd::Ok, took }),
            (2_500, LogEvent::MapEnded { session, map }),
        ]
    }

    #[test]
    fn the_last_map_is_shown_from_its_compilation_to_its_end() {
        let shown = task_stream(&figures(a_map()));
        insta::assert_snapshot!(shown["text/plain"].as_str().unwrap(), @r"
        `|x| <slow>(x)`: 2 s
        notebook   ccccccccccccccc·············································   0 %
        engine 0   ···············▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒···············███████████████  25 %
        engine 1   ····························································   0 %
        █ runs  ▒ on its way  c compiles  · idle
        ");
        let page = shown["text/html"].as_str().unwrap();
        assert!(page.contains("&lt;slow&gt;") && page.contains("engine 1"), "{page}");
    }

    #[test]
    fn without_a_map_it_is_the_last_minute() {
        let (session, engine) = (1, EngineId(1));
        let queued =
            |run| LogEvent::RunQueued { session, run, work: Work::Cell, label: "cell".into(), engines: vec![engine] };
        let ended = LogEvent::RunEnded { session, run: 1, engine, end: RunEnd::Failed, took: Took::default() };
        let events = vec![
            (5, queued(1)),
            (500, LogEvent::RunStarted { session, run: 1, engine, snapshot: None }),
            (2_000, ended),
        ];
        let shown = task_stream(&figures(events));
        let text = shown["text/plain"].as_str().unwrap();
        assert!(text.starts_with("the last minute: ") && text.contains("▒▒▒███"), "{text}");
        assert!(shown["text/html"].as_str().unwrap().contains("#d62728\"><title>cell"));
    }

    #[test]
    fn nothing_is_a_sentence() {
        assert_eq!(task_stream(&Figures::default()), crate::plain_bundle("Nothing has run on the engines yet."));
    }

    #[test]
    fn a_long_map_is_no_large_picture() {
        let (session, map, engine) = (1, 4, EngineId(0));
        let mut events = vec![(0, LogEvent::MapOpened { session, map, items: Some(1 << 20), chunk: None })];
        events.extend((1..20_000).map(|at| {
            (
                at * 100,
                LogEvent::MapDone { session, map, engine, items: 1, failed: 0, pieces: 1, micros: 90_000, left: 9 },
            )
        }));
        assert!(task_stream(&figures(events))["text/html"].as_str().unwrap().len() < 400_000);
    }
}
