//! What the text of a `Debug` is made of: lists, maps, structs and what stands in them.
//!
//! std's formatter can't be asked for this, so the text is read. What isn't written as derived `Debug`s are stays as it
//! is: nothing here fails or panics, whatever the text.

pub(crate) mod layout;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

/// What is nested deeper isn't read.
const DEEPEST: usize = 64;

/// No escaped character has more bytes.
const LONGEST_CHARACTER: usize = 12;

/// Stands for what wasn't formatted.
pub(crate) const MORE: &str = "…";

/// A part of a value's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tree<'a> {
    /// A number, a string, a name; anything without parts.
    Atom(Cow<'a, str>),
    /// What stands in brackets.
    Group(Group<'a>),
}

/// `Name { a: 1 }`, `(1, 2)`, `[1, 2]`, `{1: 2}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group<'a> {
    /// What stands before the bracket, a space included.
    pub name: &'a str,
    pub open: char,
    pub items: Vec<Item<'a>>,
    /// Whether spaces stand inside of the brackets, as those of structs have.
    is_padded: bool,
    /// Whether there is a comma behind the last item, as in `(1,)`.
    has_comma: bool,
}

/// A field of a struct, an entry of a map, or an item of anything else, which has no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    pub key: Option<Tree<'a>>,
    pub value: Tree<'a>,
}

impl<'a> Tree<'a> {
    /// Reads the whole text; `None` if its brackets and quotes don't match.
    pub fn read(text: &'a str) -> Option<Tree<'a>> {
        Reader { text, at: 0, is_cut: false, depth: 0 }.whole()
    }

    /// Reads a text whose end is missing: what is open there has [`MORE`] as its last item.
    pub fn read_cut(text: &'a str) -> Option<Tree<'a>> {
        Reader { text, at: 0, is_cut: true, depth: 0 }.whole()
    }

    pub fn atom(text: impl Into<Cow<'a, str>>) -> Tree<'a> {
        Tree::Atom(text.into())
    }
}

impl<'a> Group<'a> {
    /// A list of these, `{..}` if they have keys or are a set.
    pub fn list(open: char, items: Vec<Item<'a>>) -> Group<'a> {
        Group { name: "", open, items, is_padded: false, has_comma: false }
    }

    /// Whether all items are short of parts themselves, as those of a list of numbers.
    pub fn is_flat(&self) -> bool {
        self.items.iter().all(|item| item.key.is_none() && matches!(item.value, Tree::Atom(_)))
    }

    pub fn close(&self) -> char {
        closing(self.open)
    }
}

fn closing(open: char) -> char {
    match open {
        '(' => ')',
        '[' => ']',
        _ => '}',
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    is_cut: bool,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn whole(mut self) -> Option<Tree<'a>> {
        let tree = self.value(false, false)?;
        (self.at == self.text.len()).then_some(tree)
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn next(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Reads up to what ends an item of a group, or up to the text's end.
    fn value(&mut self, is_item: bool, may_be_key: bool) -> Option<Tree<'a>> {
        let start = self.at;
        let mut groups = 0;
        let mut last = None;
        while let Some(c) = self.next() {
            let rest = self.rest();
            match c {
                '"' => self.string()?,
                '\'' => self.character(),
                '(' | '[' | '{' => {
                    let name = self.text.get(start..self.at)?;
                    let group = self.group(name, c)?;
                    groups += 1;
                    last = Some((group, self.at));
                }
                ')' | ']' | '}' if is_item => break,
                ')' | ']' | '}' => return None,
                ',' if is_item && (rest.starts_with(", ") || rest[1..].starts_with([')', ']', '}'])) => break,
                ':' if may_be_key && rest.starts_with(": ") => break,
                c => self.at += c.len_utf8(),
            }
        }
        let raw = self.text.get(start..self.at)?.trim_end();
        match last {
            Some((group, end)) if groups == 1 && end == start + raw.len() && is_name(group.name) => {
                Some(Tree::Group(group))
            }
            _ => Some(Tree::atom(raw)),
        }
    }

    /// Reads what stands in brackets, from the opening one on.
    fn group(&mut self, name: &'a str, open: char) -> Option<Group<'a>> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        self.at += 1;
        let mut group = Group::list(open, Vec::new());
        group.name = name;
        if self.next() == Some(' ') {
            group.is_padded = true;
            self.at += 1;
        }
        loop {
            match self.next() {
                Some(c) if c == group.close() => break self.at += 1,
                Some(')' | ']' | '}') => return None,
                None if self.is_cut => break group.items.push(Item { key: None, value: Tree::atom(MORE) }),
                None => return None,
                Some(_) => {}
            }
            let mut item = Item { key: None, value: self.value(true, open == '{')? };
            if self.rest().starts_with(": ") {
                self.at += 2;
                item = Item { key: Some(item.value), value: self.value(true, false)? };
            }
            group.items.push(item);
            if self.rest().starts_with(", ") {
                self.at += 2;
            } else if self.next() == Some(',') {
                group.has_comma = true;
                self.at += 1;
            }
        }
        self.depth -= 1;
        Some(group)
    }

    /// Passes over a string.
    fn string(&mut self) -> Option<()> {
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => _ = chars.next(),
                '"' => {
                    self.at += at + 1;
                    return Some(());
                }
                _ => {}
            }
        }
        self.at = self.text.len();
        self.is_cut.then_some(())
    }

    /// Passes over a character in quotes, or over an apostrophe.
    fn character(&mut self) {
        let mut chars = self.rest().char_indices().skip(1);
        let end = match chars.next() {
            Some((_, '\\')) => {
                chars.next();
                chars.take(LONGEST_CHARACTER).find(|(_, c)| *c == '\'')
            }
            Some(_) => chars.next().filter(|(_, c)| *c == '\''),
            None => None,
        };
        self.at += match end {
            Some((at, _)) => at + 1,
            // It may be a character that is cut.
            None if self.is_cut && self.rest().len() < LONGEST_CHARACTER => self.rest().len(),
            None => 1,
        };
    }
}

/// Whether this may be the name of a struct or of a variant.
fn is_name(text: &str) -> bool {
    let name = text.strip_suffix(' ').unwrap_or(text);
    name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '#' | '<' | '>' | '&'))
}
