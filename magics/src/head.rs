//! How a line begins that may be a magic.

use crate::error::{Line, MagicError, nearest};
use crate::magic::{Form, Name};
use crate::scan::{Next, is_word};

/// The sign and the name with which a line begins, or what stands behind `%time`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub line: Line<'a>,
    /// Where the first `%` is.
    pub start: usize,
    /// Whether there are two of them.
    pub double: bool,
    pub name: &'a str,
    /// Where the name ends.
    pub end: usize,
}

impl<'a> Head<'a> {
    /// The head of what begins at this byte of the line, if that is `%` and a name.
    pub fn find(line: Line<'a>, at: usize) -> Option<Head<'a>> {
        let start = line.skip_space(at);
        let after = line.from(start).strip_prefix('%')?;
        let (double, name) = after.strip_prefix('%').map_or((false, after), |name| (true, name));
        let length = name.find(|c| !is_word(c)).unwrap_or(name.len());
        let name = name.get(..length)?;
        if name.is_empty() || name.starts_with(|c: char| c.is_numeric()) {
            return None;
        }
        let end = start + if double { 2 } else { 1 } + name.len();
        Some(Head { line, start, double, name, end })
    }

    /// The magic that this is, where `next` can be. An error where only a magic can be meant and it isn't one.
    pub fn magic(&self, next: Next) -> Result<Option<Name>, MagicError> {
        match (next, Name::find(self.name)) {
            (Next::Rest, _) => Ok(None),
            (Next::Statement, Some(name)) if self.stands_alone() => Ok(Some(name)),
            (Next::AfterBrace, found) => Ok(found.filter(|name| self.stands_alone() && name.0.uncommon)),
            (Next::Statement, Some(name)) => {
                let percent = if self.double { "%" } else { "" };
                Err(self.error(format!("after `{percent}{name}` there must be a space")))
            }
            (Next::Statement, None) => Err(self.unknown()),
        }
    }

    /// Whether what follows the name is what follows a magic's name.
    fn stands_alone(&self) -> bool {
        self.asks_for_help() || self.line.from(self.end).chars().next().is_none_or(char::is_whitespace)
    }

    pub fn asks_for_help(&self) -> bool {
        matches!(self.line.from(self.end).trim_end(), "?" | "??")
    }

    /// `%px??`, where `%px?` prints.
    pub fn asks_for_pager(&self) -> bool {
        self.line.from(self.end).trim_end() == "??"
    }

    /// The magic as it is written here: `%%px`, without what follows.
    pub fn written(&self) -> &'a str {
        self.line.text.get(self.start..self.end).unwrap_or("")
    }

    /// An error about the name.
    pub fn error(&self, message: impl Into<String>) -> MagicError {
        self.line.error(self.start..self.end, message)
    }

    /// The error for a name that no magic has.
    fn unknown(&self) -> MagicError {
        let percent = if self.double { "%%" } else { "%" };
        let near = nearest(self.name, Name::all().map(Name::as_str)).and_then(Name::find);
        let as_meant = |near: Name| match near.0.form {
            Form::Line => near.to_string(),
            Form::Cell => format!("%{near}"),
            Form::Either => format!("{percent}{}", near.as_str()),
        };
        let hint = near.map(|near| format!(": did you mean `{}`?", as_meant(near))).unwrap_or_default();
        let message = format!("there is no magic `{percent}{}`{hint}", self.name);
        self.error(message).with_help(instead(self.name).unwrap_or("`%lsmagic` lists the magics"))
    }
}

/// What Rust notebooks have in the place of a magic of IPython's.
fn instead(name: &str) -> Option<&'static str> {
    Some(match name {
        "pip" | "conda" | "mamba" | "micromamba" | "uv" => {
            "a crate is added by `:dep NAME = \"VERSION\"`, and `!pip` runs the program"
        }
        "debug" | "pdb" | "tb" | "xmode" => {
            "there is no debugger here: `dbg!(value)` prints a value and its place, and a panic names the calls that led to it"
        }
        "prun" | "lprun" | "mprun" | "memit" | "memory" => {
            "there is no profiler here: `%time` and `%timeit` measure code, and `%whos` what variables take"
        }
        "config" | "pylab" => {
            "there is nothing to configure so: `:help` lists the settings, and `%pxconfig` has those of `%px`"
        }
        "autoreload" | "reload_ext" | "aimport" => "a cell sees the newest definitions of the notebook without it",
        "ls" | "ll" | "cat" | "mkdir" | "rm" | "cp" | "mv" | "less" | "man" | "sx" | "system" => {
            "a program is run by `!`, as in `!ls -l`, above the cell's Rust"
        }
        "python" | "python3" | "perl" | "ruby" | "R" => "`%%script python3` runs the cell with a program",
        "js" => "`%%javascript` runs the cell in the browser",
        "hist" | "recall" | "rerun" => "`%history` shows the cells that were run",
        "pinfo" | "pdoc" | "psource" => "Shift-Tab behind a name shows its documentation",
        "store" | "save" | "edit" | "macro" | "alias" | "notebook" | "logstart" | "pycat" => {
            "`%%writefile FILE` writes a cell to a file, and `%load` and `%run` read one"
        }
        "reset_selective" | "xdel" | "del" => "`drop(NAME)` ends a variable, and `%reset` all of them",
        _ => return None,
    })
}
