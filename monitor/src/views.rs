//! How everything looks: each page is drawn from the [`App`] into a frame, and nothing is changed by that.

mod dialog;
mod engine;
mod header;
mod rows;
mod stream;

use crate::app::{App, Areas, Link, Page};
use crate::text;
use crate::theme::{Theme, Tone};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Borders};

/// The least that anything can be shown in.
const SMALLEST: (u16, u16) = (40, 10);

/// Rows of the header and of the names of the pages in a terminal of so many rows: where there are few, the table comes
/// first.
fn header_rows(terminal: u16) -> u16 {
    match terminal {
        0..14 => 1,
        14..18 => 2,
        _ => 3,
    }
}

/// How many rows of a page's table fit into a terminal of so many rows.
pub fn rows(page: Page, terminal: u16) -> usize {
    let body = terminal.saturating_sub(header_rows(terminal) + 1 + 2);
    let others = match page {
        Page::Engine(_) => engine::height(body) + 1,
        Page::Stream => stream::others(body),
        _ => 1,
    };
    usize::from(body.saturating_sub(others)).max(1)
}

/// How wide a page's table is in a terminal of so many columns.
pub fn columns(terminal: u16) -> u16 {
    terminal.saturating_sub(2)
}

/// Draws everything, and tells where what is.
pub fn draw(frame: &mut Frame<'_>, app: &App) -> Areas {
    let mut areas = Areas::default();
    let all = frame.area();
    if all.width < SMALLEST.0 || all.height < SMALLEST.1 {
        let text = format!("{}x{} is too small: {}x{} is needed", all.width, all.height, SMALLEST.0, SMALLEST.1);
        frame.render_widget(Line::from(text), all);
        return areas;
    }
    let [top, body, bottom] =
        Layout::vertical([Constraint::Length(header_rows(all.height)), Constraint::Min(0), Constraint::Length(1)])
            .areas(all);
    header::draw(frame, app, top, &mut areas);
    match app.page {
        Page::Engine(id) => engine::draw(frame, app, id, body, &mut areas),
        Page::Stream => stream::draw(frame, app, body, &mut areas),
        _ => rows::page(frame, app, body, &mut areas),
    }
    footer(frame, app, bottom);
    if matches!(app.link, Link::Gone(_)) && app.replay.is_none() {
        // What is shown is the past.
        let dim = Style::new().add_modifier(Modifier::DIM);
        frame.buffer_mut().set_style(body, dim);
    }
    dialog::draw(frame, app, all);
    if !app.theme.utf8 {
        only_ascii(frame);
    }
    areas
}

/// A frame with a title.
fn boxed<'a>(theme: &Theme, title: Line<'a>) -> Block<'a> {
    let border = if theme.utf8 { BorderType::Rounded } else { BorderType::Plain };
    Block::new().borders(Borders::ALL).border_type(border).border_style(theme.style(Tone::Dim)).title(title)
}

fn span(theme: &Theme, tone: Tone, text: impl Into<String>) -> Span<'static> {
    Span::styled(text.into(), theme.style(tone))
}

/// Borders and what slipped through become characters that every terminal has.
fn only_ascii(frame: &mut Frame<'_>) {
    for cell in &mut frame.buffer_mut().content {
        let plain = match cell.symbol() {
            "─" => "-",
            "│" => "|",
            "┌" | "┐" | "└" | "┘" => "+",
            symbol if symbol.is_ascii() => continue,
            "·" => "-",
            _ => "?",
        };
        cell.set_symbol(plain);
    }
}

/// The filter while it is written, what is told, or the keys that do something here.
fn footer(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let theme = &app.theme;
    let list = app.list();
    let (line, tone, text) = if app.writing {
        let mut line = Line::from(vec![span(theme, Tone::Accent, " / "), Span::from(list.filter.clone())]);
        line.push_span(Span::styled(" ", Style::new().add_modifier(Modifier::REVERSED)));
        let (tone, text) = match &list.query {
            Err(why) => (Tone::Bad, format!("  {why}")),
            Ok(_) => (Tone::Dim, "  text, regex or `cpu > 50`   Enter: keep   Esc: drop".to_owned()),
        };
        (line, tone, text)
    } else if let Some(notice) = &app.notice {
        let tone = if notice.bad { Tone::Bad } else { Tone::Good };
        (Line::default(), tone, format!(" {}", text::clean(&notice.text)))
    } else {
        (keys(app), Tone::Normal, String::new())
    };
    // What there is no room for isn't left out without a sign.
    let taken = u16::try_from(line.width()).unwrap_or(u16::MAX).min(area.width);
    let rest = Rect { x: area.x + taken, width: area.width - taken, ..area };
    frame.render_widget(line, area);
    rows::put(frame.buffer_mut(), rest, &text, false, theme.style(tone));
}

fn keys(app: &App) -> Line<'static> {
    let mut keys: Vec<(&str, &str)> = match app.page {
        Page::Overview => vec![("Enter", "open"), ("Space", "mark"), ("/", "filter"), ("s", "sort")],
        Page::Tasks => {
            vec![("/", "filter"), ("e", if app.errors_only { "all" } else { "errors" }), ("Enter", "all of it")]
        }
        Page::Stream => vec![("+ -", "zoom"), ("Left Right", "pan"), ("End", "present"), ("/", "filter")],
        Page::Logs => vec![("Left Right", "which log"), ("/", "search"), ("G", "follow")],
        Page::Engine(_) => vec![("Esc", "back"), ("L", "log")],
        Page::Help => vec![("Esc", "back")],
        _ => vec![("/", "filter"), ("s", "sort"), ("Enter", "all of it")],
    };
    if app.replay.is_some() {
        keys.extend([("p", "pause"), ("< >", "speed"), (", .", "10 s")]);
    } else if !app.readonly {
        match app.page {
            Page::Overview | Page::Engine(_) => {
                keys.extend([("i", "interrupt"), ("r", "restart"), ("x", "kill"), ("d", "drain")]);
            }
            Page::Tasks => keys.push(("c", "cancel")),
            _ => {}
        }
    }
    keys.push(("f", if app.is_frozen() { "go on" } else { "freeze" }));
    keys.push(("y", "copy"));
    if app.page == Page::Overview {
        keys.push(("H", if app.by_host { "one by one" } else { "by host" }));
    }
    let always = [("?", "help"), ("q", "quit")];
    let width = |(key, what): &(&str, &str)| key.len() + what.len() + 3;
    let mut room = usize::from(app.size.0).saturating_sub(always.iter().map(width).sum());
    // As many as fit whole. How to get help and out is always told.
    keys.retain(|key| {
        let left = room.checked_sub(width(key));
        room = left.unwrap_or(0);
        left.is_some()
    });
    let mut spans = Vec::new();
    for (key, what) in keys.into_iter().chain(always) {
        spans.push(span(&app.theme, Tone::Accent, format!(" {key} ")));
        spans.push(span(&app.theme, Tone::Dim, format!("{what} ")));
    }
    Line::from(spans)
}

#[cfg(test)]
#[path = "views/tests.rs"]
mod tests;
