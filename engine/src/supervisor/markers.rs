//! Splits a worker's stdout into what the cell printed and what evcxr's generated code, its content protocol and the
//! crate px say.
//!
//! Pure: bytes in, [`Item`]s out. However the bytes are cut into pieces, the items are the same (text apart, which is
//! cut with them), and no byte is lost: what turns out not to be a marker comes out as text.
//!
//! A marker counts wherever it stands in a line, since a cell may have printed the beginning of that line with
//! `print!`. Text that may yet become a marker is held back until it is decided.

use chorus_protocol::{DisplayKind, MimeContent};

/// What stands in a worker's stdout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Printed by the cell.
    Text(Vec<u8>),
    /// One displayed value.
    Display(DisplayKind, Vec<MimeContent>),
    /// The cell's outputs so far are to go.
    ClearOutput {
        /// Only when the next one comes.
        wait: bool,
    },
    /// The cell's own thread panicked.
    Panicked,
    /// A `?` returned early.
    ReturnedError,
    /// This variable's type isn't what it was when the variable was stored.
    TypeChanged(String),
    /// The cell waits for a line on stdin.
    Input {
        /// What to ask.
        prompt: String,
        /// Whether to hide what is typed.
        password: bool,
    },
}

/// A content longer than this is text: it must not fill the memory.
pub const CONTENT_MAX: usize = 256 << 20;

/// A marker's line may be as long as this, else it is text.
const LINE_MAX: usize = 4096;

const BEGIN: &[u8] = b"EVCXR_BEGIN_CONTENT ";
const END: &[u8] = b"EVCXR_END_CONTENT\n";
const PANICKED: &[u8] = b"EVCXR_PANIC_NOTIFICATION\n";
const RETURNED_ERROR: &[u8] = b"EVCXR_ERROR_OCCURRED\n";
const TYPE_CHANGED: &[u8] = b"EVCXR_VARIABLE_CHANGED_TYPE:";
const INPUT: &[u8] = b"EVCXR_INPUT_REQUEST:";
const PASSWORD: &[u8] = b"EVCXR_INPUT_REQUEST_PASSWORD:";

/// px puts one of these before the contents of a display, and then `DISPLAY_END`: all between is one value.
const DISPLAY_ONCE: &[u8] = b"PX_DISPLAY_ONCE\n";
const DISPLAY_NEW: &[u8] = b"PX_DISPLAY_NEW ";
const DISPLAY_UPDATE: &[u8] = b"PX_DISPLAY_UPDATE ";
const DISPLAY_END: &[u8] = b"PX_DISPLAY_END\n";
const CLEAR: &[u8] = b"PX_CLEAR_OUTPUT\n";
const CLEAR_WAIT: &[u8] = b"PX_CLEAR_OUTPUT_WAIT\n";

/// Markers outside of contents. Those that don't end with a newline go on to the end of their line.
const MARKERS: [&[u8]; 12] = [
    BEGIN,
    PANICKED,
    RETURNED_ERROR,
    TYPE_CHANGED,
    INPUT,
    PASSWORD,
    DISPLAY_ONCE,
    DISPLAY_NEW,
    DISPLAY_UPDATE,
    DISPLAY_END,
    CLEAR,
    CLEAR_WAIT,
];

/// Whether a marker begins with this byte.
fn may_begin(byte: u8) -> bool {
    byte == b'E' || byte == b'P'
}

/// The parser of one stdout.
#[derive(Debug)]
pub struct Parser {
    /// Bytes that aren't decided yet: the beginning of a marker's line or of a content.
    held: Vec<u8>,
    /// The content that `held` begins with.
    open: Option<Open>,
    /// Representations of one value: more may follow.
    bundle: Vec<MimeContent>,
    /// What becomes of that value, when px has said so. Then px also says where it ends.
    kind: Option<DisplayKind>,
    content_max: usize,
}

#[derive(Debug)]
struct Open {
    mime: String,
    /// Where in `held` the content begins, after its `EVCXR_BEGIN_CONTENT` line.
    start: usize,
    /// The beginning of the first line of `held` that isn't checked yet.
    line: usize,
    /// Where to go on looking for the end of that line.
    scanned: usize,
}

impl Default for Parser {
    fn default() -> Parser {
        Parser { held: Vec::new(), open: None, bundle: Vec::new(), kind: None, content_max: CONTENT_MAX }
    }
}

/// What begins at some place of the text.
enum Found<'a> {
    /// No marker.
    Nothing,
    /// The bytes end before that is decided.
    Undecided,
    /// A marker, the rest of its line, and the length of all that with the newline.
    Marker { marker: &'static [u8], rest: &'a [u8], length: usize },
}

impl Parser {
    /// Takes the next bytes and appends what they decide to `items`.
    pub fn push(&mut self, bytes: &[u8], items: &mut Vec<Item>) {
        if self.held.is_empty() {
            // The usual case, text only, is searched where it lies.
            let used = self.text(bytes, items);
            self.held.extend_from_slice(&bytes[used..]);
        } else {
            self.held.extend_from_slice(bytes);
        }
        loop {
            let moved = if self.open.is_some() { self.content(items) } else { self.held_text(items) };
            if !moved {
                return;
            }
        }
    }

    /// Whether a displayed value waits for more of its representations, and nobody is going to say that none follow.
    pub fn has_display(&self) -> bool {
        !self.bundle.is_empty() && self.open.is_none() && self.kind.is_none()
    }

    /// Gives out the displayed value that waits for more of its representations.
    pub fn end_display(&mut self, items: &mut Vec<Item>) {
        let kind = self.kind.take().unwrap_or(DisplayKind::Value);
        if !self.bundle.is_empty() {
            items.push(Item::Display(kind, std::mem::take(&mut self.bundle)));
        }
    }

    /// The run is over: what is still undecided is text.
    pub fn finish(&mut self, items: &mut Vec<Item>) {
        self.open = None;
        self.end_display(items);
        push_text(items, std::mem::take(&mut self.held));
    }

    /// Handles `held` while no content is open; false when it has to wait for more bytes.
    fn held_text(&mut self, items: &mut Vec<Item>) -> bool {
        let held = std::mem::take(&mut self.held);
        let used = self.text(&held, items);
        self.held = held;
        self.held.drain(..used);
        // `text` stops early only where a content opens; then it holds that content's first line.
        self.open.is_some()
    }

    /// Handles text and markers up to the end, to what is undecided or to the beginning of a content, and returns
    /// the length of what it handled.
    fn text(&mut self, bytes: &[u8], items: &mut Vec<Item>) -> usize {
        let mut done = 0; // given out up to here
        let mut at = 0; // searched up to here
        while let Some(found) = bytes[at..].iter().position(|&byte| may_begin(byte)) {
            at += found;
            match marker_at(&bytes[at..]) {
                Found::Nothing => at += 1,
                Found::Undecided => break,
                Found::Marker { marker, rest, length } => {
                    self.plain(&bytes[done..at], items);
                    done = at;
                    if marker == BEGIN {
                        let mime = mime_of(rest);
                        if self.kind.is_none() && self.bundle.iter().any(|content| content.mime == mime) {
                            self.end_display(items);
                        }
                        self.open = Some(Open { mime, start: length, line: length, scanned: length });
                        return done;
                    }
                    self.end_display(items);
                    self.kind = kind_of(marker, rest);
                    if self.kind.is_none() {
                        items.extend(item_of(marker, rest));
                    }
                    at += length;
                    done = at;
                }
            }
        }
        let end = if bytes[at..].first().is_some_and(|&byte| may_begin(byte)) { at } else { bytes.len() };
        self.plain(&bytes[done..end], items);
        end
    }

    fn plain(&mut self, text: &[u8], items: &mut Vec<Item>) {
        if !text.is_empty() {
            if self.kind.is_none() {
                self.end_display(items);
            }
            push_text(items, text.to_vec());
        }
    }

    /// Looks for the end of the open content; false when it has to wait for more bytes.
    fn content(&mut self, items: &mut Vec<Item>) -> bool {
        let Some(open) = self.open.as_mut() else { return false };
        // Only a line that begins before this can end the content.
        let last_line = open.start + self.content_max + 1;
        while let Some(length) = self.held[open.scanned..].iter().position(|&byte| byte == b'\n')
            && open.line <= last_line
        {
            let next = open.scanned + length + 1;
            let line = &self.held[open.line..next];
            if line == END {
                // The newline before the end marker belongs to the marker; an empty content has none.
                let end = open.line.saturating_sub(1).max(open.start);
                let content = String::from_utf8_lossy(&self.held[open.start..end]).into_owned();
                let mime = std::mem::take(&mut open.mime);
                // Of one type, the last counts: a display that never ends must not fill the memory.
                self.bundle.retain(|earlier| earlier.mime != mime);
                self.bundle.push(MimeContent { mime, content });
                self.open = None;
                self.held.drain(..next);
                if self.bundle.iter().map(|content| content.mime.len() + content.content.len()).sum::<usize>()
                    > self.content_max
                {
                    self.end_display(items);
                }
                return true;
            }
            if line == PANICKED {
                // The content's author panicked in the middle of it.
                let broken = open.line;
                self.broken_content(broken, items);
                return true;
            }
            open.line = next;
            open.scanned = next;
        }
        open.scanned = self.held.len();
        if open.line <= last_line && self.held.len() <= last_line + PANICKED.len() {
            return false;
        }
        let first_line = open.start;
        self.broken_content(first_line, items);
        true
    }

    /// The open content is none: its first `length` bytes are text, the others are looked at again.
    fn broken_content(&mut self, length: usize, items: &mut Vec<Item>) {
        self.open = None;
        self.end_display(items);
        push_text(items, self.held.drain(..length).collect());
    }
}

fn marker_at(bytes: &[u8]) -> Found<'_> {
    for marker in MARKERS {
        if let Some(rest) = bytes.strip_prefix(marker) {
            if marker.ends_with(b"\n") {
                return Found::Marker { marker, rest: &[], length: marker.len() };
            }
            return match rest.iter().take(LINE_MAX).position(|&byte| byte == b'\n') {
                Some(0) if [BEGIN, DISPLAY_NEW, DISPLAY_UPDATE].contains(&marker) => Found::Nothing,
                Some(end) => Found::Marker { marker, rest: &rest[..end], length: marker.len() + end + 1 },
                None if rest.len() < LINE_MAX => Found::Undecided,
                None => Found::Nothing,
            };
        }
        if marker.starts_with(bytes) {
            return Found::Undecided;
        }
    }
    Found::Nothing
}

/// What px says of the display that begins with this marker.
fn kind_of(marker: &[u8], rest: &[u8]) -> Option<DisplayKind> {
    let name = || String::from_utf8_lossy(rest).into_owned();
    match marker {
        DISPLAY_ONCE => Some(DisplayKind::Once),
        DISPLAY_NEW => Some(DisplayKind::New(name())),
        DISPLAY_UPDATE => Some(DisplayKind::Update(name())),
        _ => None,
    }
}

fn item_of(marker: &[u8], rest: &[u8]) -> Option<Item> {
    let rest = String::from_utf8_lossy(rest).trim_end_matches('\r').to_owned();
    Some(match marker {
        DISPLAY_END => return None,
        PANICKED => Item::Panicked,
        RETURNED_ERROR => Item::ReturnedError,
        CLEAR | CLEAR_WAIT => Item::ClearOutput { wait: marker == CLEAR_WAIT },
        TYPE_CHANGED => Item::TypeChanged(rest),
        _ => Item::Input { prompt: rest, password: marker == PASSWORD },
    })
}

/// The mime type goes up to the first space, as evcxr reads it.
fn mime_of(rest: &[u8]) -> String {
    let rest = String::from_utf8_lossy(rest);
    rest.split_whitespace().next().unwrap_or("text/plain").to_owned()
}

fn push_text(items: &mut Vec<Item>, text: Vec<u8>) {
    if !text.is_empty() {
        items.push(Item::Text(text));
    }
}

#[cfg(test)]
#[path = "markers_tests.rs"]
mod tests;
