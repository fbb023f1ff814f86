//! How a value's text is laid out: on a line if it fits, else on several, and with its middle left out where it is long.

use super::{Group, Item, MORE, Tree};
use std::borrow::Cow;

/// A value with parts is on one line if it isn't longer, in characters.
pub(crate) const WIDTH: usize = 100;
/// So many lines are shown of a value.
pub(crate) const LINES: usize = 50;
/// So many items of a list are shown; of a longer one, [`ENDS`] at each end.
pub(crate) const ITEMS: usize = 1000;
/// The items at each end of what is too long.
pub(crate) const ENDS: usize = 10;
/// A string or a list of numbers may be on one line if it isn't longer, in bytes.
pub(crate) const LONGEST: usize = 10_000;

const INDENT: usize = 4;

/// `1,234,567`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `… 12 more items …`.
pub(crate) fn more(count: usize, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("… {} more {what}{s} …", grouped(count as u64))
}

/// The text of a whole value as it is shown, cut where it is long.
pub(crate) fn shortened(text: &str) -> String {
    let is_short = text.len() <= LONGEST && !text.contains('\n');
    if is_short && text.chars().count() <= WIDTH {
        return text.to_owned();
    }
    // What has lines of its own has a form of its own, as tables have.
    let tree = if text.contains('\n') { None } else { Tree::read(text) };
    match tree {
        Some(tree) => laid_out(tree),
        None => few_lines(text),
    }
}

/// A value on as many lines as it may have.
pub(crate) fn laid_out(mut tree: Tree<'_>) -> String {
    elide(&mut tree);
    let mut text = String::new();
    lay_out(&tree, 0, &mut text);
    few_lines(&text)
}

/// All of a value.
pub(crate) fn whole(text: &str) -> String {
    let is_plain = text.contains('\n') || text.chars().count() <= WIDTH;
    let Some(tree) = (!is_plain).then(|| Tree::read(text)).flatten() else { return text.to_owned() };
    let mut out = String::new();
    lay_out(&tree, 0, &mut out);
    out
}

/// The first lines and the last ones, each of them not too long.
pub(crate) fn few_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let shown = |lines: &[&str]| lines.iter().map(|line| in_the_middle(line)).collect::<Vec<_>>().join("\n");
    if lines.len() <= LINES {
        return shown(&lines);
    }
    let (first, last) = (LINES / 2, LINES - LINES / 2 - 1);
    let hidden = lines.len() - first - last;
    let (first, last) = (&lines[..first], &lines[lines.len() - last..]);
    format!("{}\n{}\n{}", shown(first), more(hidden, "line"), shown(last))
}

/// A line without its middle, if it is too long.
fn in_the_middle(line: &str) -> Cow<'_, str> {
    without_middle(line, LONGEST)
}

/// A text of at most about so many bytes.
pub(crate) fn without_middle(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return text.into();
    }
    let (first, last) = (text.floor_char_boundary(most / 2), text.ceil_char_boundary(text.len() - most / 2));
    let hidden = text.get(first..last).unwrap_or_default().chars().count();
    format!("{}{}{}", &text[..first], more(hidden, "character"), &text[last..]).into()
}

/// Leaves out the middles of long lists.
fn elide(tree: &mut Tree<'_>) {
    let Tree::Group(group) = tree else { return };
    if group.items.len() > ITEMS {
        let hidden = group.items.len() - 2 * ENDS;
        let between = Item { key: None, value: Tree::atom(more(hidden, "item")) };
        group.items.splice(ENDS..ENDS + hidden, [between]);
    }
    for item in &mut group.items {
        item.key.as_mut().map(elide);
        elide(&mut item.value);
    }
}

/// The tree on one line, if that isn't longer than this.
pub(crate) fn one_line(tree: &Tree<'_>, most: usize) -> Option<String> {
    let mut text = String::new();
    push_line(tree, most, &mut text).then_some(text)
}

fn push_line(tree: &Tree<'_>, most: usize, text: &mut String) -> bool {
    match tree {
        Tree::Atom(atom) => text.push_str(atom),
        Tree::Group(group) => {
            text.push_str(group.name);
            text.push(group.open);
            let space = if group.is_padded { " " } else { "" };
            text.push_str(space);
            for (at, item) in group.items.iter().enumerate() {
                if at > 0 {
                    text.push_str(", ");
                }
                if let Some(key) = &item.key {
                    if !push_line(key, most, text) {
                        return false;
                    }
                    text.push_str(": ");
                }
                if !push_line(&item.value, most, text) {
                    return false;
                }
            }
            text.push_str(if group.has_comma { "," } else { space });
            text.push(group.close());
        }
    }
    // In bytes, which are at least as many as characters.
    text.len() <= most
}

fn lay_out(tree: &Tree<'_>, indent: usize, text: &mut String) {
    let group = match tree {
        Tree::Atom(atom) => return text.push_str(atom),
        Tree::Group(group) => group,
    };
    // A list of numbers is as long as it likes: front ends break the line.
    let most = if group.is_flat() && indent == 0 { LONGEST } else { WIDTH.saturating_sub(indent) };
    if let Some(line) = one_line(tree, most) {
        return text.push_str(&line);
    }
    text.push_str(group.name);
    text.push(group.open);
    let inner = indent + INDENT;
    match group.is_flat() && group.open != '(' {
        true => fill(group, inner, text),
        false => {
            for item in &group.items {
                new_line(inner, text);
                if let Some(key) = &item.key {
                    lay_out(key, inner, text);
                    text.push_str(": ");
                }
                lay_out(&item.value, inner, text);
                text.push_str(comma(&item.value));
            }
        }
    }
    new_line(indent, text);
    text.push(group.close());
}

/// As many items on each line as fit.
fn fill(group: &Group<'_>, indent: usize, text: &mut String) {
    let mut room = 0;
    for item in &group.items {
        let Tree::Atom(atom) = &item.value else { continue };
        let length = atom.chars().count() + 2;
        if length > room {
            new_line(indent, text);
            room = WIDTH.saturating_sub(indent);
        } else {
            text.push(' ');
        }
        room = room.saturating_sub(length);
        text.push_str(atom);
        text.push_str(comma(&item.value));
    }
}

/// What stands behind an item; nothing behind what stands for others.
fn comma(value: &Tree<'_>) -> &'static str {
    match value {
        Tree::Atom(atom) if atom == ".." || atom == MORE => "",
        _ => ",",
    }
}

fn new_line(indent: usize, text: &mut String) {
    text.push('\n');
    text.extend(std::iter::repeat_n(' ', indent));
}
