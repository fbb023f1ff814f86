//! Text of several engines on one stream: each line has its engine's prefix, and no line mixes two engines.

use super::output::{Output, push_text, stream_name};
use chorus_protocol::{EngineId, Stream};
use std::collections::BTreeMap;

/// A line that grows beyond this is shown before it ends, so that it can't fill the memory.
const LONGEST_HELD: usize = 8 << 10;

/// Puts prefixes before lines as they arrive. An unfinished line is held back until it ends, or is shown early: by
/// [`Lines::flush_partial`], when it is rewritten with `\r` as progress bars do, or when it is very long.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    held: BTreeMap<Source, Held>,
    /// Whose unfinished line is the last text on the screen.
    open: Option<Source>,
}

type Source = (EngineId, Stream);

/// The line of one source that isn't finished.
#[derive(Clone, Debug, Default, PartialEq)]
struct Held {
    /// Its text that isn't shown yet.
    text: String,
    /// Whether some of it is shown.
    begun: bool,
    /// Whether it was rewritten: its next pieces are shown at once.
    rewritten: bool,
    /// Whether a `\r` came last. Before a `\n` it means nothing, before anything else the line begins anew.
    returned: bool,
}

impl Lines {
    /// Text of an engine.
    pub(super) fn text(&mut self, engine: EngineId, stream: Stream, text: &str, outputs: &mut Vec<Output>) {
        let source = (engine, stream);
        let mut held = self.held.remove(&source).unwrap_or_default();
        for piece in text.split_inclusive(['\n', '\r']) {
            let (body, end) = match piece.strip_suffix('\n') {
                Some(body) => (body, Some('\n')),
                None => piece.strip_suffix('\r').map_or((piece, None), |body| (body, Some('\r'))),
            };
            if held.returned && !body.is_empty() {
                self.show(source, &mut held, outputs);
                self.rewind(source, outputs);
                (held.returned, held.rewritten) = (false, true);
            }
            held.text.push_str(body);
            match end {
                Some('\n') => {
                    self.end_line(source, &mut held, outputs);
                    held = Held::default();
                }
                Some(_) => held.returned = true,
                None => {}
            }
        }
        if held.rewritten || held.returned || held.text.len() > LONGEST_HELD {
            self.show(source, &mut held, outputs);
        }
        self.keep(source, held);
    }

    /// Whether a line is held back.
    pub(super) fn has_partial(&self) -> bool {
        self.held.values().any(|held| !held.text.is_empty())
    }

    /// Shows what is held back.
    pub(super) fn flush_partial(&mut self, outputs: &mut Vec<Output>) {
        for (source, mut held) in std::mem::take(&mut self.held) {
            self.show(source, &mut held, outputs);
            self.keep(source, held);
        }
    }

    /// Ends the engine's unfinished lines.
    pub(super) fn end(&mut self, engine: EngineId, outputs: &mut Vec<Output>) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let source = (engine, stream);
            if let Some(mut held) = self.held.remove(&source) {
                self.show(source, &mut held, outputs);
            }
            if self.open == Some(source) {
                self.close(outputs);
            }
        }
    }

    /// Ends the line that is last on the screen, whoever's it is, since something else comes.
    pub(super) fn close(&mut self, outputs: &mut Vec<Output>) {
        if let Some((_, stream)) = self.open.take() {
            push_text(outputs, stream, "\n");
        }
    }

    /// A whole line, or several, that aren't an engine's own text.
    pub(super) fn notice(&mut self, stream: Stream, prefix: &str, text: &str, outputs: &mut Vec<Output>) {
        self.close(outputs);
        for line in text.lines() {
            push_text(outputs, stream, &format!("{prefix}{line}\n"));
        }
    }

    fn keep(&mut self, source: Source, held: Held) {
        if held != Held::default() {
            self.held.insert(source, held);
        }
    }

    fn show(&mut self, source: Source, held: &mut Held, outputs: &mut Vec<Output>) {
        if held.text.is_empty() {
            return;
        }
        if self.open != Some(source) {
            self.close(outputs);
            push_text(outputs, source.1, &prefix(source.1, &source.0.to_string()));
        }
        push_text(outputs, source.1, &held.text);
        held.text.clear();
        held.begun = true;
        self.open = Some(source);
    }

    fn end_line(&mut self, source: Source, held: &mut Held, outputs: &mut Vec<Output>) {
        self.show(source, held, outputs);
        if self.open == Some(source) {
            self.close(outputs);
        } else if !held.begun {
            // An empty line is a line too.
            self.close(outputs);
            push_text(outputs, source.1, &format!("{}\n", prefix(source.1, &source.0.to_string())));
        }
    }

    /// Goes back to the start of the line, if it is still the last on the screen; else a new one begins.
    fn rewind(&mut self, source: Source, outputs: &mut Vec<Output>) {
        if self.open == Some(source) {
            push_text(outputs, source.1, &format!("\r{}", prefix(source.1, &source.0.to_string())));
        }
    }
}

/// `[stdout:0-3] `.
pub(super) fn prefix(stream: Stream, engines: &str) -> String {
    format!("[{}:{engines}] ", stream_name(stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Source = (EngineId(0), Stream::Stdout);
    const B: Source = (EngineId(1), Stream::Stdout);

    fn shown(texts: &[(Source, &str)]) -> String {
        let (mut lines, mut outputs) = (Lines::default(), Vec::new());
        for ((engine, stream), text) in texts {
            match *text {
                "FLUSH" => lines.flush_partial(&mut outputs),
                "END" => lines.end(*engine, &mut outputs),
                text => lines.text(*engine, *stream, text, &mut outputs),
            }
        }
        outputs
            .iter()
            .map(|output| match output {
                Output::Stream { text, .. } => text.replace('\r', "<cr>"),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn lines_are_whole() {
        assert_eq!(
            shown(&[(A, "a"), (B, "b\n"), (A, "a\n\nx\n")]),
            "[stdout:1] b\n[stdout:0] aa\n[stdout:0] \n[stdout:0] x\n"
        );
        assert_eq!(shown(&[(A, "a\r"), (A, "\n")]), "[stdout:0] a\n");
        assert_eq!(shown(&[(A, "a\r\nb\r\n")]), "[stdout:0] a\n[stdout:0] b\n");
        assert_eq!(shown(&[(A, "a")]), "");
        assert_eq!(shown(&[(A, "a"), (A, "END"), (A, "b"), (A, "END"), (A, "END")]), "[stdout:0] a\n[stdout:0] b\n");
    }

    #[test]
    fn a_line_that_was_shown_early_goes_on_or_begins_again() {
        assert_eq!(shown(&[(A, "a"), (A, "FLUSH"), (A, "FLUSH"), (A, "b\n")]), "[stdout:0] ab\n");
        let mixed = [(A, "a"), (A, "FLUSH"), (B, "b\n"), (A, "c\n")];
        assert_eq!(shown(&mixed), "[stdout:0] a\n[stdout:1] b\n[stdout:0] c\n");
        assert_eq!(shown(&[(A, "a"), (B, "b"), (A, "FLUSH"), (B, "END")]), "[stdout:0] a\n[stdout:1] b\n");
        // Its end alone begins no further line.
        let mixed = [(A, "a"), (A, "FLUSH"), (B, "b\n"), (A, "\n"), (A, "\n")];
        assert_eq!(shown(&mixed), "[stdout:0] a\n[stdout:1] b\n[stdout:0] \n");
        assert_eq!(shown(&[(A, "a"), (A, "FLUSH"), (A, "\n")]), "[stdout:0] a\n");
    }

    #[test]
    fn progress_bars_are_rewritten_in_place() {
        let bar = [(A, "\r10%"), (A, "\r20%"), (A, "\r30%\n")];
        assert_eq!(shown(&bar), "[stdout:0] 10%<cr>[stdout:0] 20%<cr>[stdout:0] 30%\n");
        let bar = [(A, "10%\r"), (A, "20%\r"), (A, "done\n")];
        assert_eq!(shown(&bar), "[stdout:0] 10%<cr>[stdout:0] 20%<cr>[stdout:0] done\n");
        let two = [(A, "\r1"), (B, "\r2"), (A, "\r3"), (A, "END"), (B, "END")];
        assert_eq!(shown(&two), "[stdout:0] 1\n[stdout:1] 2\n[stdout:0] 3\n");
    }

    #[test]
    fn a_line_without_end_is_not_kept() {
        let long = "x".repeat(LONGEST_HELD + 1);
        assert_eq!(shown(&[(A, &long)]), format!("[stdout:0] {long}"));
    }
}
