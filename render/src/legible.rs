//! Colours that can be read in front of any background.
//!
//! JupyterLab shows errors in front of light red or dark red, as its theme is, and no colour of letters can be read on both: so
//! letters have none. What is to be seen first brings its own background.

/// How the marks are written that failures are made with: red and blue ones.
const RED: [&str; 2] = ["\x1b[31m", "\x1b[1;31m"];
const BLUE: &str = "\x1b[1;34m";

const BOLD: &str = "\x1b[1m";
/// White in front of dark red, which is written so that no theme changes it.
const LABEL: &str = "\x1b[1;38;5;231;48;5;124m";

/// A line of a failure: a red word at its beginning is a label, and what else is coloured is bold.
pub fn legible(line: &str) -> String {
    let after_red = RED.iter().find_map(|red| line.strip_prefix(red));
    let is_word = |text: &&str| !text.split('\x1b').next().unwrap_or_default().contains(char::is_whitespace);
    let (label, rest) = match after_red.filter(is_word) {
        Some(rest) => (LABEL, rest),
        None => ("", line),
    };
    let rest = [RED[0], RED[1], BLUE].iter().fold(rest.to_owned(), |text, colour| text.replace(colour, BOLD));
    format!("{label}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_label_and_other_colours_are_bold() {
        for (line, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("\x1b[1;31merror[E0308]\x1b[0m\x1b[1m: no", "\x1b[1;38;5;231;48;5;124merror[E0308]\x1b[0m\x1b[1m: no"),
            ("\x1b[31m[0-3:execute]\x1b[0m it", "\x1b[1;38;5;231;48;5;124m[0-3:execute]\x1b[0m it"),
            ("\x1b[31mpanicked at a\x1b[0m", "\x1b[1mpanicked at a\x1b[0m"),
            ("\x1b[1;34m1 |\x1b[0m \x1b[1;31m^^^\x1b[0m", "\x1b[1m1 |\x1b[0m \x1b[1m^^^\x1b[0m"),
            ("the user's \x1b[32mgreen\x1b[0m", "the user's \x1b[32mgreen\x1b[0m"),
        ] {
            assert_eq!(legible(line), expected);
        }
    }
}
