//! Colours and symbols, by what the terminal can show.

use ratatui::style::{Color, Modifier, Style};

/// How many colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// 24 bits, on a dark or a light ground.
    True {
        /// Whether the ground is light.
        light: bool,
    },
    /// The terminal's own 16.
    Sixteen,
    /// None: bold, dim and reversed text only.
    None,
}

/// What the user asked for by `--theme`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// What the environment says.
    #[default]
    Auto,
    /// 24 bits on a dark ground.
    Dark,
    /// 24 bits on a light ground.
    Light,
    /// 16 colours.
    Sixteen,
    /// No colours.
    Mono,
}

/// What something means to its reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing in particular.
    #[default]
    Normal,
    /// Of less importance.
    Dim,
    /// Names and headings.
    Accent,
    /// As it should be.
    Good,
    /// At work.
    Busy,
    /// On its way.
    Moving,
    /// Compilation.
    Compile,
    /// Worth a look.
    Warn,
    /// Wrong.
    Bad,
}

/// The look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// How many colours.
    pub colours: Colours,
    /// Whether there are more characters than those of ASCII.
    pub utf8: bool,
}

impl Theme {
    /// By the choice and the environment; `get` reads a variable of it.
    pub fn new(choice: Choice, get: impl Fn(&str) -> Option<String>) -> Theme {
        let set = |name: &str| get(name).filter(|value| !value.is_empty());
        let term = set("TERM").unwrap_or_default();
        let deep = set("COLORTERM").is_some_and(|it| it == "truecolor" || it == "24bit") || term.ends_with("-direct");
        // Set by some terminals: the number behind the `;` is the ground's colour, of which 7 and 15 are light.
        let light = set("COLORFGBG").is_some_and(|it| matches!(it.rsplit(';').next(), Some("7" | "15")));
        let colours = match choice {
            Choice::Dark => Colours::True { light: false },
            Choice::Light => Colours::True { light: true },
            Choice::Sixteen => Colours::Sixteen,
            Choice::Mono => Colours::None,
            Choice::Auto if set("NO_COLOR").is_some() || term == "dumb" => Colours::None,
            Choice::Auto if deep => Colours::True { light },
            Choice::Auto => Colours::Sixteen,
        };
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        Theme { colours, utf8: locale.contains("utf-8") || locale.contains("utf8") }
    }

    /// How text of this tone looks.
    pub fn style(&self, tone: Tone) -> Style {
        let style = Style::new();
        match self.colours {
            Colours::None => match tone {
                Tone::Dim => style.add_modifier(Modifier::DIM),
                Tone::Accent | Tone::Warn | Tone::Bad => style.add_modifier(Modifier::BOLD),
                _ => style,
            },
            Colours::Sixteen => match tone {
                Tone::Normal => style,
                Tone::Dim => style.fg(Color::DarkGray),
                Tone::Accent => style.fg(Color::Cyan),
                Tone::Good => style.fg(Color::Green),
                Tone::Busy => style.fg(Color::Blue),
                Tone::Moving => style.fg(Color::Magenta),
                Tone::Compile => style.fg(Color::Cyan),
                Tone::Warn => style.fg(Color::Yellow),
                Tone::Bad => style.fg(Color::Red).add_modifier(Modifier::BOLD),
            },
            Colours::True { light } => match (tone, light) {
                (Tone::Normal, _) => style,
                (Tone::Dim, false) => style.fg(Color::Rgb(118, 128, 143)),
                (Tone::Dim, true) => style.fg(Color::Rgb(120, 126, 138)),
                (Tone::Accent, false) => style.fg(Color::Rgb(112, 200, 232)),
                (Tone::Accent, true) => style.fg(Color::Rgb(0, 105, 150)),
                (Tone::Good, false) => style.fg(Color::Rgb(130, 205, 130)),
                (Tone::Good, true) => style.fg(Color::Rgb(25, 125, 50)),
                (Tone::Busy, false) => style.fg(Color::Rgb(105, 165, 255)),
                (Tone::Busy, true) => style.fg(Color::Rgb(25, 85, 200)),
                (Tone::Moving, false) => style.fg(Color::Rgb(200, 150, 235)),
                (Tone::Moving, true) => style.fg(Color::Rgb(130, 60, 170)),
                (Tone::Compile, false) => style.fg(Color::Rgb(90, 200, 190)),
                (Tone::Compile, true) => style.fg(Color::Rgb(0, 125, 115)),
                (Tone::Warn, false) => style.fg(Color::Rgb(240, 190, 90)),
                (Tone::Warn, true) => style.fg(Color::Rgb(165, 100, 0)),
                (Tone::Bad, false) => style.fg(Color::Rgb(255, 110, 110)).add_modifier(Modifier::BOLD),
                (Tone::Bad, true) => style.fg(Color::Rgb(190, 20, 30)).add_modifier(Modifier::BOLD),
            },
        }
    }

    /// The row that the cursor is on.
    pub fn cursor(&self) -> Style {
        match self.colours {
            Colours::True { light: false } => Style::new().bg(Color::Rgb(44, 56, 76)),
            Colours::True { light: true } => Style::new().bg(Color::Rgb(212, 226, 244)),
            _ => Style::new().add_modifier(Modifier::REVERSED),
        }
    }

    /// The page's name among the others.
    pub fn chosen(&self) -> Style {
        self.style(Tone::Accent).add_modifier(Modifier::REVERSED)
    }

    /// Columns' names.
    pub fn heading(&self) -> Style {
        self.style(Tone::Accent).add_modifier(Modifier::BOLD)
    }

    /// Blocks of growing height, the first of them empty.
    pub fn levels(&self) -> &'static [char] {
        if self.utf8 {
            &[' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
        } else {
            &[' ', '.', ':', '-', '=', '+', '*', '#']
        }
    }

    /// What marks something that a diagnosis is about.
    pub fn warning(&self) -> &'static str {
        if self.utf8 { "▲" } else { "!" }
    }

    /// What marks a row for the next action.
    pub fn mark(&self) -> &'static str {
        if self.utf8 { "●" } else { "*" }
    }

    /// What marks a row that others are folded into.
    pub fn fold(&self, is_open: bool) -> &'static str {
        match (self.utf8, is_open) {
            (true, true) => "▾",
            (true, false) => "▸",
            (false, true) => "-",
            (false, false) => "+",
        }
    }

    /// Which way a column is sorted.
    pub fn arrow(&self, descending: bool) -> &'static str {
        match (self.utf8, descending) {
            (true, true) => "▼",
            (true, false) => "▲",
            (false, true) => "v",
            (false, false) => "^",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn theme(choice: Choice, variables: &[(&str, &str)]) -> Theme {
        let get = |name: &str| variables.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned());
        Theme::new(choice, get)
    }

    #[test]
    fn the_environment_decides() {
        let auto = |variables: &[(&str, &str)]| theme(Choice::Auto, variables).colours;
        assert_eq!(auto(&[("COLORTERM", "truecolor")]), Colours::True { light: false });
        assert_eq!(auto(&[("COLORTERM", "truecolor"), ("COLORFGBG", "0;15")]), Colours::True { light: true });
        assert_eq!(auto(&[("COLORTERM", "truecolor"), ("NO_COLOR", "1")]), Colours::None);
        assert_eq!(auto(&[("NO_COLOR", ""), ("TERM", "xterm")]), Colours::Sixteen, "an empty NO_COLOR says nothing");
        assert_eq!(theme(Choice::Dark, &[("NO_COLOR", "1")]).colours, Colours::True { light: false });
    }

    #[test]
    fn the_first_variable_of_the_locale_counts() {
        assert!(theme(Choice::Auto, &[("LANG", "de_DE.UTF-8")]).utf8);
        assert!(!theme(Choice::Auto, &[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]).utf8);
        assert!(!theme(Choice::Auto, &[]).utf8);
    }

    #[test]
    fn without_colours_there_are_none() {
        let mono = theme(Choice::Mono, &[]);
        for tone in [Tone::Normal, Tone::Dim, Tone::Accent, Tone::Good, Tone::Busy, Tone::Warn, Tone::Bad] {
            assert_eq!((mono.style(tone).fg, mono.style(tone).bg), (None, None));
        }
        assert_eq!((mono.cursor().fg, mono.chosen().fg), (None, None));
    }
}
