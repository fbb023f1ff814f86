//! Shows outputs as they come, to any two writers.
//!
//! On a terminal, what a cell clears or updates is rewritten in place. Elsewhere nothing that was printed can be
//! taken back: displays that may be updated, and all that follows a `clear_output`, are shown once, when the cell
//! has ended.

use super::outputs::{Change, Recorded};
use super::report::title;
use serde_json::Value;
use std::io::{self, Write};

/// Where the outputs of cells are shown.
pub struct Screen {
    /// `None` when stdout is for something else: all is shown on `err`.
    out: Option<Box<dyn Write + Send>>,
    err: Box<dyn Write + Send>,
    /// Columns and rows of the terminal that both writers lead to, `None` when they don't.
    size: Option<(usize, usize)>,
    /// Where the cursor is, counted from where the cell's outputs begin.
    row: usize,
    column: usize,
    /// Whether `out` and `err` are in the middle of a line, for when they lead to different places.
    open: [bool; 2],
    /// Whether something of this cell is shown.
    shows: bool,
    /// Outputs of this cell are shown when it has ended.
    deferred: bool,
}

impl Screen {
    /// Text goes to `out`, if there is one, stderr text and errors to `err`; `size` is that of the terminal if both
    /// are one.
    pub fn new(out: Option<Box<dyn Write + Send>>, err: Box<dyn Write + Send>, size: Option<(u16, u16)>) -> Screen {
        let size = size.map(|(columns, rows)| (usize::from(columns.max(1)), usize::from(rows)));
        Screen { out, err, size, row: 0, column: 0, open: [false; 2], shows: false, deferred: false }
    }

    /// A cell begins: its place and its first line.
    pub fn begin(&mut self, number: usize, of: usize, source: &str) -> io::Result<()> {
        self.end_line()?;
        let title = title(source);
        let (bold, plain) = if self.size.is_some() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        self.write(&format!("{bold}[{number}/{of}]{plain} {title}\n"), false)?;
        (self.row, self.column, self.shows, self.deferred) = (0, 0, false, false);
        Ok(())
    }

    /// The running cell's outputs are now these, after this change.
    pub fn change(&mut self, change: Change, outputs: &mut [Recorded]) -> io::Result<()> {
        match change {
            Change::Nothing => Ok(()),
            Change::Added(piece) => {
                let Some(last) = outputs.last_mut() else { return Ok(()) };
                let may_change = last.display_id.is_some() && self.size.is_none();
                if self.deferred || may_change {
                    return Ok(());
                }
                (last.shown, self.shows) = (true, true);
                self.show(&piece)
            }
            Change::Updated | Change::Cleared => match self.size {
                Some((_, rows)) if !self.deferred && self.row + 1 < rows => {
                    self.wipe()?;
                    outputs.iter_mut().try_for_each(|output| {
                        output.shown = true;
                        self.show(&output.value)
                    })
                }
                // Displays that may be updated are kept back anyway; what else comes needn't be.
                None if change == Change::Updated || !self.shows => Ok(()),
                _ => {
                    self.deferred = true;
                    Ok(())
                }
            },
        }
    }

    /// The cell has ended: shows what was kept back.
    pub fn finish(&mut self, outputs: &mut [Recorded]) -> io::Result<()> {
        for output in outputs.iter_mut().filter(|output| !output.shown) {
            output.shown = true;
            self.show(&output.value)?;
        }
        self.end_line()
    }

    /// Shows one output, or a piece of a stream.
    pub fn show(&mut self, output: &Value) -> io::Result<()> {
        match output.get("output_type").and_then(Value::as_str) {
            Some("stream") => {
                let text = output.get("text").and_then(Value::as_str).unwrap_or_default();
                let is_error = output.get("name").is_some_and(|name| name == "stderr");
                self.write(text, is_error)
            }
            Some("error") => {
                self.end_line()?;
                self.write(&error_text(output), true)?;
                self.end_line()
            }
            _ => {
                self.end_line()?;
                self.write(&data_text(output), false)?;
                self.end_line()
            }
        }
    }

    /// Says something that isn't an output, on a line of its own.
    pub fn note(&mut self, text: &str) -> io::Result<()> {
        self.end_line()?;
        self.write(text, true)?;
        self.end_line()
    }

    fn write(&mut self, text: &str, is_error: bool) -> io::Result<()> {
        let is_error = is_error || self.out.is_none();
        let writer = self.out.as_mut().filter(|_| !is_error).unwrap_or(&mut self.err);
        writer.write_all(text.as_bytes())?;
        writer.flush()?;
        if let Some(last) = text.chars().last() {
            self.open[usize::from(is_error)] = last != '\n';
        }
        self.follow(text);
        Ok(())
    }

    fn end_line(&mut self) -> io::Result<()> {
        if self.size.is_some() {
            return if self.column > 0 { self.write("\n", false) } else { Ok(()) };
        }
        for is_error in [false, true] {
            if self.open[usize::from(is_error)] {
                self.write("\n", is_error)?;
            }
        }
        Ok(())
    }

    /// Wipes what the cell has shown; the cursor is then where its outputs begin.
    fn wipe(&mut self) -> io::Result<()> {
        let up = if self.row > 0 { format!("\x1b[{}A", self.row) } else { String::new() };
        self.write(&format!("\r{up}\x1b[J"), false)?;
        (self.row, self.column) = (0, 0);
        Ok(())
    }

    /// Keeps track of the cursor. Wide characters are counted as one column: at worst a rewrite leaves a line behind.
    fn follow(&mut self, text: &str) {
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '\n' => (self.row, self.column) = (self.row + 1, 0),
                '\r' => self.column = 0,
                // An escape sequence takes no room; it ends with a letter.
                '\x1b' => drop(characters.find(char::is_ascii_alphabetic)),
                _ => {
                    let wrapped = self.size.is_some_and(|(columns, _)| self.column >= columns);
                    if wrapped {
                        (self.row, self.column) = (self.row + 1, 0);
                    }
                    self.column += 1;
                }
            }
        }
    }
}

fn error_text(output: &Value) -> String {
    let lines: Vec<_> = output.get("traceback").and_then(Value::as_array).into_iter().flatten().collect();
    if lines.is_empty() {
        let field = |name| output.get(name).and_then(Value::as_str).unwrap_or_default();
        return format!("{}: {}", field("ename"), field("evalue"));
    }
    lines.iter().filter_map(|line| line.as_str()).collect::<Vec<_>>().join("\n")
}

/// What a terminal can show of a display: its plain text, or what else there is.
fn data_text(output: &Value) -> String {
    let Some(data) = output.get("data").and_then(Value::as_object) else { return String::new() };
    if let Some(text) = data.get("text/plain").and_then(Value::as_str) {
        return text.to_owned();
    }
    data.iter().map(|(mime, value)| format!("[{mime} {}]", size_text(mime, value))).collect::<Vec<_>>().join(" ")
}

fn size_text(mime: &str, value: &Value) -> String {
    let length = value.as_str().map_or_else(|| value.to_string().len(), str::len);
    // Images but SVG are base64.
    let is_base64 = mime.starts_with("image/") && mime != "image/svg+xml";
    match if is_base64 { length / 4 * 3 } else { length } {
        bytes @ 0..1000 => format!("{bytes} B"),
        bytes @ 1000..1_000_000 => format!("{} kB", bytes / 1000),
        bytes => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::notebook::outputs::Outputs;
    use chorus_jupyter::content;
    use serde_json::{Map, json};
    use std::sync::{Arc, Mutex};

    /// A writer whose text tests can read.
    #[derive(Clone, Default)]
    pub struct Page(Arc<Mutex<Vec<u8>>>);

    impl Page {
        pub fn text(&self) -> String {
            String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
        }
    }

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is shown after these messages and at the cell's end, on stdout and stderr.
    fn shown(size: Option<(u16, u16)>, messages: &[(&str, Value)]) -> (String, String) {
        shown_by(size, messages, true)
    }

    /// The same, when the cell has ended or before.
    fn shown_by(size: Option<(u16, u16)>, messages: &[(&str, Value)], ends: bool) -> (String, String) {
        let (out, err) = (Page::default(), Page::default());
        let mut screen = Screen::new(Some(Box::new(out.clone())), Box::new(err.clone()), size);
        let mut outputs = Outputs::default();
        let cell = outputs.begin();
        for (msg_type, content) in messages {
            let change = outputs.apply(cell, msg_type, content);
            screen.change(change, &mut outputs.cell(cell).unwrap().outputs).unwrap();
        }
        if ends {
            screen.finish(&mut outputs.cell(cell).unwrap().outputs).unwrap();
        }
        (out.text(), err.text())
    }

    fn out(text: &str) -> (&'static str, Value) {
        ("stream", content::stream("stdout", text))
    }

    fn display(data: Value, id: Option<&str>, msg_type: &'static str) -> (&'static str, Value) {
        (msg_type, content::display_data(serde_json::from_value(data).unwrap(), id))
    }

    #[test]
    fn a_header_names_the_cell() {
        let page = Page::default();
        let mut screen = Screen::new(Some(Box::new(page.clone())), Box::new(Page::default()), None);
        screen.begin(3, 12, "\n  %%px --stream\nprintln!()").unwrap();
        screen.begin(4, 12, &"ä".repeat(80)).unwrap();
        assert_eq!(page.text(), format!("[3/12]   %%px --stream\n[4/12] {}…\n", "ä".repeat(72)));
    }

    #[test]
    fn text_goes_to_its_own_stream_and_results_to_lines_of_their_own() {
        let data = Map::from_iter([("text/plain".to_owned(), json!("42"))]);
        let messages = [
            out("no newline"),
            ("execute_result", content::execute_result(1, data)),
            ("stream", content::stream("stderr", "warned\n")),
            ("error", json!({"ename": "E", "evalue": "e", "traceback": ["line 1", "line 2"]})),
            ("error", json!({"ename": "E", "evalue": "short"})),
        ];
        let (text, errors) = shown(None, &messages);
        assert_eq!(text, "no newline\n42\n");
        assert_eq!(errors, "warned\nline 1\nline 2\nE: short\n");
    }

    #[test]
    fn what_a_terminal_cannot_show_is_named() {
        let images = json!({"image/png": "A".repeat(16_000), "text/html": "<b>"});
        let (text, _) = shown(None, &[display(images, None, "display_data")]);
        assert_eq!(text, "[image/png 12 kB] [text/html 3 B]\n");
        assert_eq!(size_text("image/svg+xml", &json!("x".repeat(2_500_000))), "2.5 MB");
        assert_eq!(size_text("application/json", &json!({"a": 1})), "7 B");
    }

    #[test]
    fn without_a_terminal_only_the_final_state_of_a_display_is_shown() {
        let at = |text: &str, kind| display(json!({"text/plain": text}), Some("p"), kind);
        let messages = [
            at("0%", "display_data"),
            out("working\n"),
            at("50%", "update_display_data"),
            at("100%", "update_display_data"),
            out("done\n"),
        ];
        assert_eq!(shown(None, &messages).0, "working\ndone\n100%\n");
        let (text, _) = shown(Some((80, 24)), &messages[..3]);
        assert_eq!(text, "0%\nworking\n\r\x1b[2A\x1b[J50%\nworking\n");
    }

    #[test]
    fn without_a_terminal_only_the_last_frame_is_shown() {
        let clear = ("clear_output", content::clear_output(true));
        let messages = [out("frame 1\n"), clear.clone(), out("frame 2\n"), clear, out("frame 3\n"), out("end\n")];
        assert_eq!(shown(None, &messages).0, "frame 1\nframe 3\nend\n");
    }

    #[test]
    fn without_a_terminal_what_was_not_shown_is_cleared_at_once() {
        let clear = ("clear_output", content::clear_output(false));
        let at = |text: &str, msg_type| display(json!({"text/plain": text}), Some("x"), msg_type);
        let messages = [at("compiling", "display_data"), at("still", "update_display_data"), clear.clone(), out("a\n")];
        // All of it is shown as it comes, not at the end.
        assert_eq!(shown_by(None, &messages, false).0, "a\n");
        let messages = [out("a\n"), clear, out("b\n")];
        assert_eq!(shown_by(None, &messages, false).0, "a\n");
    }

    #[test]
    fn on_a_terminal_a_cell_is_rewritten_in_place() {
        let clear = ("clear_output", content::clear_output(true));
        let (text, _) = shown(Some((10, 24)), &[out("12 columns!!\nb\n"), clear, out("c\n")]);
        // Three rows up: the first line is wrapped.
        assert_eq!(text, "12 columns!!\nb\n\r\x1b[3A\x1b[Jc\n");
    }

    #[test]
    fn what_has_scrolled_away_is_not_rewritten() {
        let clear = ("clear_output", content::clear_output(true));
        let (text, _) = shown(Some((80, 3)), &[out("a\nb\nc\nd\n"), clear, out("e\n")]);
        assert_eq!(text, "a\nb\nc\nd\ne\n");
    }
}
