//! How the value of a cell's last expression is shown: a trait that evcxr's generated code finds in scope.

use crate::Bundle;
use crate::rows::Rows;
use crate::table::Sheet;
use crate::tree::layout::{self, ENDS, ITEMS};
use crate::tree::{Group, Item, Tree};
use std::any::type_name;
use std::fmt::{Arguments, Debug, Display, Write as _};

/// Displays the value of a cell's last expression with its `Debug`. A type's own method `evcxr_display(&self)` goes
/// before it, as methods of types go before those of traits.
///
/// [`pretty`], [`text`] and [`typed`] have a trait of the same name each, to be imported instead of this one.
pub trait Show {
    /// Prints the value as evcxr's content protocol wants it; `()` prints nothing.
    fn evcxr_display(&self);
}

impl<T: Debug + ?Sized> Show for T {
    fn evcxr_display(&self) {
        // `T` isn't 'static, so there is no TypeId to compare.
        if type_name::<T>() != type_name::<()>() {
            bundle_of(type_name::<T>(), format_args!("{self:?}")).evcxr_display();
        }
    }
}

/// The value of a cell's last expression. Lists and maps are shown by the method below, of which they need only format
/// the ends; all else, which this leads to, by its own `evcxr_display` or by [`Show`].
#[doc(hidden)]
pub struct Last<'a, T: ?Sized>(pub &'a T);

impl<R: Rows + ?Sized> Last<'_, R> {
    pub fn evcxr_display(self) {
        // What is generic is compiled with each cell.
        bundle_of_rows(&self.0).evcxr_display();
    }
}

impl<T: ?Sized> std::ops::Deref for Last<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0
    }
}

/// What becomes of evcxr's second attempt to show a cell's result, `((&(value)))`.
#[doc(hidden)]
#[macro_export]
macro_rules! show {
    ((&($value:expr))) => {
        $crate::Last(&($value)).evcxr_display()
    };
}

/// Leaves statements as they are; evcxr doesn't see which variables they define.
#[doc(hidden)]
#[macro_export]
macro_rules! own {
    ($($statements:tt)*) => { $($statements)* };
}

/// All of a value, however long that is: a result is shown with its middle left out where it is long.
///
/// ```
/// px::display(px::full((0..10_000).collect::<Vec<_>>()));
/// ```
pub fn full<T: Debug>(value: T) -> Full<T> {
    Full(value)
}

/// Shows all of a value, see [`full`].
#[derive(Clone, Copy)]
#[must_use = "it is shown as the cell's last expression, without `;`, or by `px::display(..)`"]
pub struct Full<T>(T);

impl<T: Debug> crate::Displayable for Full<T> {
    fn to_bundle(&self) -> Bundle {
        Bundle::new().with("text/plain", layout::whole(&format!("{:?}", self.0)))
    }
}

impl<T: Debug> Full<T> {
    /// Shows it as a cell's result.
    pub fn evcxr_display(&self) {
        crate::Displayable::to_bundle(self).evcxr_display();
    }
}

/// Values on several lines, `{:#?}`.
pub mod pretty {
    use super::{Debug, send};

    /// See [`super::Show`].
    pub trait Show {
        /// Prints the value with `{:#?}`.
        fn evcxr_display(&self);
    }

    impl<T: Debug + ?Sized> Show for T {
        fn evcxr_display(&self) {
            send::<T>(format_args!("{self:#?}"));
        }
    }
}

/// Values as users see them, `{}`.
pub mod text {
    use super::{Display, send};

    /// See [`super::Show`].
    pub trait Show {
        /// Prints the value with `{}`.
        fn evcxr_display(&self);
    }

    impl<T: Display + ?Sized> Show for T {
        fn evcxr_display(&self) {
            send::<T>(format_args!("{self}"));
        }
    }
}

/// Values with their types, `: i32 = 42`.
pub mod typed {
    use super::{Debug, send, type_name};

    /// See [`super::Show`].
    pub trait Show {
        /// Prints the value's type and the value with `{:?}`.
        fn evcxr_display(&self);
    }

    impl<T: Debug + ?Sized> Show for T {
        fn evcxr_display(&self) {
            send::<T>(format_args!(": {} = {self:?}", super::without_paths(type_name::<T>())));
        }
    }
}

/// A result is formatted as far as this many bytes: of more, little would be shown.
const MOST: usize = 1 << 18;
/// The same for each item of those at the ends of a long list.
const MOST_OF_ITEM: usize = 1 << 12;
/// What follows a text that was cut.
const CUT: &str = "… (cut here; `px::full(&value)` shows all)";

fn send<T: ?Sized>(value: Arguments<'_>) {
    if type_name::<T>() == type_name::<()>() {
        return;
    }
    let (mut text, is_whole) = formatted(value, MOST);
    if !is_whole {
        text += CUT;
    }
    Bundle::new().with("text/plain", layout::few_lines(&text)).evcxr_display();
}

/// What is shown of any value.
pub(crate) fn bundle_of(type_name: &str, value: Arguments<'_>) -> Bundle {
    // Formatted first, so that a `Debug` that prints or panics doesn't do so in the middle of the content.
    let (text, is_whole) = formatted(value, MOST);
    if !is_whole {
        let plain = match Tree::read_cut(&text).filter(|_| !text.contains('\n')) {
            Some(Tree::Group(group)) => format!("{}\n{CUT}", layout::laid_out(Tree::Group(beginning(group)))),
            _ => format!("{}\n{CUT}", layout::few_lines(&text)),
        };
        return Bundle::new().with("text/plain", plain);
    }
    match Sheet::of_array(type_name, &text) {
        Some(sheet) => sheet.bundle(Some(layout::shortened(&text))),
        None => bundle_of_text(text, None),
    }
}

/// The first items of what was cut in the middle: how many come behind them isn't known.
fn beginning(mut group: Group<'_>) -> Group<'_> {
    if group.items.len() > 2 * ENDS {
        group.items.truncate(2 * ENDS);
        group.items.push(Item { key: None, value: Tree::atom(crate::tree::MORE) });
    }
    group
}

/// What is shown of a list or a map.
pub(crate) fn bundle_of_rows(rows: &dyn Rows) -> Bundle {
    let count = rows.rows();
    if count <= ITEMS {
        let (text, is_whole) = formatted(format_args!("{rows:?}"), MOST);
        if is_whole {
            return bundle_of_text(text, Some(count));
        }
    }
    Ends::of(rows).bundle(rows.open(), count)
}

/// What is shown of a value of which this is the text, and that has so many items if that is known.
fn bundle_of_text(text: String, count: Option<usize>) -> Bundle {
    let sheet = match Tree::read(&text) {
        Some(Tree::Group(mut group))
            if group.name.is_empty() && count.is_none_or(|count| group.items.len() == count) =>
        {
            let count = group.items.len();
            let mut first = count;
            if count > ROWS {
                group.items.drain(ENDS..count - ENDS);
                first = ENDS;
            }
            // A tuple is none of rows.
            if group.open == '(' { None } else { Sheet::of_rows(&group.items, first, count) }
        }
        _ => None,
    };
    match sheet {
        None => Bundle::new().with("text/plain", layout::shortened(&text)),
        // Short ones look as they always have.
        Some(sheet) => sheet.bundle((text.len() <= layout::WIDTH && !text.contains('\n')).then_some(text)),
    }
}

/// A table of so many rows is shown whole.
pub(crate) const ROWS: usize = 50;

/// The texts of the items at the ends of a list, with their keys.
#[derive(Default)]
struct Ends {
    first: Vec<(Option<String>, String)>,
    last: Vec<(Option<String>, String)>,
}

impl Ends {
    fn of(rows: &dyn Rows) -> Ends {
        let text = |item: &dyn Debug| {
            let (text, is_whole) = formatted(format_args!("{item:?}"), MOST_OF_ITEM);
            if is_whole { text } else { text + crate::tree::MORE }
        };
        let mut ends = Ends::default();
        let count = ENDS.min(rows.rows() / 2);
        rows.last_rows(count, &mut |key, item| ends.last.push((key.map(text), text(item))));
        let count = if ends.last.is_empty() { 2 * ENDS } else { rows.rows().min(2 * ENDS) - ends.last.len() };
        rows.first_rows(count, &mut |key, item| ends.first.push((key.map(text), text(item))));
        ends
    }

    fn bundle(&self, open: char, count: usize) -> Bundle {
        let items = self.first.iter().chain(&self.last);
        let mut items: Vec<Item<'_>> =
            items.map(|(key, text)| Item { key: key.as_deref().map(tree), value: tree(text) }).collect();
        if let Some(sheet) = Sheet::of_rows(&items, self.first.len(), count) {
            return sheet.bundle(None);
        }
        let hidden = count.saturating_sub(items.len());
        if hidden > 0 {
            let between = Tree::atom(layout::more(hidden, "item"));
            items.insert(self.first.len(), Item { key: None, value: between });
        }
        Bundle::new().with("text/plain", layout::laid_out(Tree::Group(Group::list(open, items))))
    }
}

/// What can't be read, as what was cut, is an atom.
fn tree(text: &str) -> Tree<'_> {
    Tree::read(text).or_else(|| Tree::read_cut(text)).unwrap_or_else(|| Tree::atom(text))
}

/// The text of a value, and whether that is all; what comes behind so many bytes isn't even formatted.
fn formatted(value: Arguments<'_>, most: usize) -> (String, bool) {
    let mut text = Limited { text: String::new(), most, is_full: false };
    match text.write_fmt(value) {
        Ok(()) => (text.text, true),
        Err(_) if text.is_full => (text.text, false),
        // What `format!` does when a `Debug` fails.
        Err(error) => panic!("the value's own formatting failed: {error}"),
    }
}

struct Limited {
    text: String,
    most: usize,
    is_full: bool,
}

impl std::fmt::Write for Limited {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = if self.is_full { 0 } else { self.most - self.text.len() };
        let taken = text.get(..text.floor_char_boundary(room)).unwrap_or_default();
        self.text.push_str(taken);
        // The next text might fit, but isn't to come after a gap.
        self.is_full |= taken.len() < text.len();
        if self.is_full { Err(std::fmt::Error) } else { Ok(()) }
    }
}

/// `alloc::vec::Vec<alloc::string::String>` is `Vec<String>`.
fn without_paths(type_name: &str) -> String {
    let mut short = String::new();
    for character in type_name.chars() {
        short.push(character);
        if short.ends_with("::") {
            let path = short.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_' || c == ':').len();
            short.truncate(path);
        }
    }
    short
}

#[cfg(test)]
mod tests;
