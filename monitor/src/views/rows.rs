//! Pages that are a table.

use super::{boxed, span};
use crate::app::{App, Areas, Link, Page};
use crate::table::{Cell, Key, Table, widths};
use crate::theme::{Theme, Tone};
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

pub fn page(frame: &mut Frame<'_>, app: &App, area: Rect, areas: &mut Areas) {
    let block = boxed(&app.theme, title(app));
    let inside = block.inner(area);
    frame.render_widget(block, area);
    if let (Page::Logs, Some(engine), Some((of, Err(why)))) = (app.page, app.log_of, &app.log_file)
        && *of == engine
    {
        frame.render_widget(Paragraph::new(span(&app.theme, Tone::Bad, why.clone())).wrap(Wrap::default()), inside);
        return;
    }
    draw(frame, app, inside, areas);
    let selected = app.table.rows.get(app.list().place);
    if let (Page::Diagnoses, Some(row)) = (app.page, selected) {
        // Its sentences don't fit into columns.
        let texts = row
            .cells
            .iter()
            .skip(2)
            .map(|cell| Line::from(vec![Span::styled(cell.text.clone(), app.theme.style(cell.tone))]));
        let below = inside.y + 1 + app.table.rows.len() as u16 + 1;
        if below + 2 < inside.bottom() {
            let rest = Rect { y: below, height: inside.bottom() - below, ..inside };
            frame.render_widget(Paragraph::new(texts.collect::<Vec<_>>()).wrap(Wrap::default()), rest);
        }
    }
}

/// The page's name, how many rows there are, and how they are chosen and sorted.
pub fn title(app: &App) -> Line<'static> {
    let theme = &app.theme;
    let (shown, total) = (app.table.shown, app.table.total);
    let list = app.list();
    let mut line = Line::from(span(theme, Tone::Accent, format!(" {} ", app.page.title())));
    match (app.page, app.log_of) {
        (Page::Logs, Some(engine)) => line.push_span(span(theme, Tone::Normal, format!("of engine {engine} "))),
        (Page::Logs, None) => line.push_span(span(theme, Tone::Normal, "of the cluster ")),
        _ => {}
    }
    let count = if shown == total { format!("{total} ") } else { format!("{shown} of {total} ") };
    line.push_span(span(theme, Tone::Normal, count));
    if app.page == Page::Overview && app.by_host {
        let hosts = app.table.rows.iter().filter(|row| matches!(row.key, Key::Host(_))).count();
        line.push_span(span(theme, Tone::Normal, format!("on {} ", chorus_protocol::count(hosts as u64, "host"))));
    }
    if app.page == Page::Logs && !list.filter.is_empty() {
        line.push_span(span(theme, Tone::Warn, format!("{}/{shown} ", app.found())));
    }
    if app.page == Page::Tasks && app.errors_only {
        line.push_span(span(theme, Tone::Bad, "errors only "));
    }
    if !list.filter.is_empty() {
        let tone = if list.query.is_ok() { Tone::Warn } else { Tone::Bad };
        line.push_span(span(theme, tone, format!("/{} ", list.filter)));
    }
    if app.page == Page::Overview && !app.marked.is_empty() {
        line.push_span(span(theme, Tone::Warn, format!("{} marked ", app.marked.len())));
    }
    if app.page == Page::Logs && list.follow {
        line.push_span(span(theme, Tone::Good, "following "));
    }
    line
}

/// The columns' names and the rows.
pub fn draw(frame: &mut Frame<'_>, app: &App, area: Rect, areas: &mut Areas) {
    let theme = &app.theme;
    let (table, list) = (&app.table, app.list());
    let columns = widths(&table.columns, area.width);
    let mut at = area.x;
    for &(column, width) in &columns {
        let it = &table.columns[column];
        let mut title = it.title.to_owned();
        if list.sort.column == Some(column) {
            title.truncate(usize::from(width).saturating_sub(1));
            title.push_str(theme.arrow(list.sort.descending));
        }
        let place = Rect { x: at, width, height: 1, ..area };
        put(frame.buffer_mut(), place, &title, it.right, theme.heading());
        areas.columns.push((place, column));
        at += width + 1;
    }
    let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    areas.rows = body;
    if table.rows.is_empty() {
        frame.render_widget(span(theme, Tone::Dim, nothing(app, table)), body);
        return;
    }
    for (number, row) in table.rows.iter().skip(list.top).take(body.height.into()).enumerate() {
        let line = Rect { y: body.y + number as u16, height: 1, ..body };
        let mut at = line.x;
        for &(column, width) in &columns {
            let place = Rect { x: at, width, ..line };
            draw_cell(frame.buffer_mut(), place, &row.cells[column], table.columns[column].right, theme);
            at += width + 1;
        }
        if list.top + number == list.place {
            frame.buffer_mut().set_style(line, theme.cursor());
        }
    }
}

/// Why there are no rows.
fn nothing(app: &App, table: &Table) -> String {
    match (&app.link, table.total) {
        (Link::Connecting, 0) if app.replay.is_none() => format!("Connecting to the cluster `{}` ...", app.name),
        (_, 0) => table.empty.to_owned(),
        (_, total) => format!("The filter lets none of {total} rows through. Esc drops it."),
    }
}

fn draw_cell(buffer: &mut Buffer, area: Rect, cell: &Cell, right: bool, theme: &Theme) {
    let style = theme.style(cell.tone);
    match cell.curve.is_empty() {
        true => put(buffer, area, &cell.text, right, style),
        false => curve(buffer, area, &cell.curve, theme, style),
    }
}

/// Text that ends with `…` if there is no room for all of it.
pub fn put(buffer: &mut Buffer, area: Rect, text: &str, right: bool, style: Style) {
    let width = Span::from(text).width() as u16;
    let room = usize::from(area.width);
    if width > area.width {
        let (end, _) = buffer.set_stringn(area.x, area.y, text, room.saturating_sub(1), style);
        buffer.set_string(end, area.y, if text.is_ascii() { "~" } else { "…" }, style);
        return;
    }
    let x = if right { area.right() - width } else { area.x };
    buffer.set_stringn(x, area.y, text, room, style);
}

/// A curve of one row: each place is the mean of the seconds that it stands for. Where nothing is known is nothing.
pub fn curve(buffer: &mut Buffer, area: Rect, values: &[Option<f32>], theme: &Theme, style: Style) {
    let levels = theme.levels();
    for column in 0..area.width {
        let bound = |column: u16| usize::from(column) * values.len() / usize::from(area.width.max(1));
        // Where there are more places than seconds, several stand for the same.
        let until = bound(column + 1).max(bound(column) + 1).min(values.len());
        let known: Vec<f32> = values[bound(column)..until].iter().filter_map(|it| *it).collect();
        if known.is_empty() {
            continue;
        }
        let mean = (known.iter().sum::<f32>() / known.len() as f32).clamp(0.0, 1.0);
        // Known and next to nothing is a low line; only nothing known is empty.
        let level = ((mean * (levels.len() - 1) as f32).round() as usize).max(1);
        if let Some(cell) = buffer.cell_mut((area.x + column, area.y)) {
            cell.set_char(levels[level]).set_style(style);
        }
    }
}
