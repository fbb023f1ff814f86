//! The rows of each page, made of the figures.

pub mod engines;
mod help;
pub mod hosts;
mod logs;
mod memory;
mod tasks;
mod users;

pub use tasks::busy_share;

use crate::app::{App, Page};
use crate::table::Table;
use crate::theme::Theme;

/// The rows of the page that is shown.
pub fn of(app: &App) -> Table {
    match app.page {
        Page::Overview => engines::table(app),
        Page::Stream => engines::names(app),
        Page::Tasks => tasks::table(app, None),
        Page::Engine(engine) => tasks::table(app, Some(engine)),
        Page::Memory => memory::table(app),
        Page::Sessions => users::sessions(app),
        Page::Logs => logs::table(app),
        Page::Gpu => users::gpus(app),
        Page::Diagnoses => users::diagnoses(app),
        Page::Help => help::table(),
    }
}

/// A text of somebody else's, as a cell shows it: all its lines as one, with blanks in the place of control characters.
pub fn line(text: &str, theme: &Theme) -> String {
    let is_blank = |c: char| c.is_control() && c != '\x1b';
    let clean = crate::text::clean(&text.replace(is_blank, " "));
    let line = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    if theme.utf8 { line } else { crate::text::ascii(&line) }
}
