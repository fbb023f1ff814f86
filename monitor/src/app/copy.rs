//! What goes to the terminal's clipboard.

use super::{App, Dialog, Effect, Page};
use crate::table::{Key, Row};
use crate::text;
use crate::theme::Tone;

/// The most of a text that is copied, in bytes: terminals refuse what is much longer.
const MOST: usize = 64 << 10;

impl App {
    /// Copies what is selected.
    pub(super) fn copy(&mut self) -> Vec<Effect> {
        let Some(text) = self.to_copy() else {
            self.tell("there is nothing to be copied".to_owned(), true);
            return Vec::new();
        };
        // The terminal doesn't answer, so this is all that is known.
        self.tell(format!("sent to the terminal's clipboard: {text}"), false);
        vec![Effect::Copy(text)]
    }

    /// What a dialog tells, the text of an error, or the row under the cursor, all of it; on one line, without what a
    /// terminal or a shell obeys.
    fn to_copy(&self) -> Option<String> {
        let text = match &self.dialog {
            Some(Dialog::Details(_, facts)) => {
                let facts = facts.iter().filter(|(_, value)| !value.is_empty());
                facts.map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("; ")
            }
            _ => self.row_to_copy()?,
        };
        let text = text::clean(&text);
        let text = text.get(..text.floor_char_boundary(MOST)).unwrap_or_default();
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn row_to_copy(&self) -> Option<String> {
        let row = self.table.rows.get(self.list().place)?;
        let is_task = matches!(self.page, Page::Tasks | Page::Engine(_));
        match row.cells.last().filter(|note| is_task && note.tone == Tone::Bad && !note.text.is_empty()) {
            Some(error) => Some(error.text.clone()),
            // A long line may be cut into several.
            None => match row.key {
                Key::Place(place) | Key::Below(place, _) if self.page == Page::Logs => {
                    crate::tables::of(self).rows.get(place).map(as_text)
                }
                _ => Some(as_text(row)),
            },
        }
    }
}

fn as_text(row: &Row) -> String {
    let texts = row.cells.iter().map(|cell| cell.text.trim()).filter(|text| !text.is_empty());
    texts.collect::<Vec<_>>().join("  ")
}
