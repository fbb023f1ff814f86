//! PTX text as a list of declarations and definitions.

/// What a text consists of.
pub(super) struct Module {
    /// The version, the target and the size of addresses.
    pub(super) header: String,
    pub(super) pieces: Vec<Piece>,
}

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A function with its body.
    Function,
    /// What is said to be elsewhere.
    External,
    /// A variable with its value, or a function that comes further below.
    Other,
}

/// A declaration or a definition.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) form: Form,
    pub(super) name: String,
    /// Without comments.
    pub(super) text: String,
    /// All names in it.
    pub(super) names: Vec<String>,
    /// The functions that it calls by their names.
    pub(super) calls: Vec<String>,
}

/// Takes a text apart.
pub(super) fn split(ptx: &str) -> Result<Module, String> {
    let mut module = Module { header: String::new(), pieces: Vec::new() };
    let mut piece = String::new();
    let mut depth = 0usize;
    for line in ptx.lines() {
        let line = without_comment(line).trim_end();
        // Places in sources, which libraries' code may come with, are of no use here.
        if line.split_whitespace().next().is_none_or(|word| [".loc", ".file"].contains(&word)) {
            continue;
        }
        if piece.is_empty() {
            let header = [".version", ".target", ".address_size", ".pragma"];
            if header.iter().any(|it| line.trim_start().starts_with(it)) {
                module.header += line;
                module.header.push('\n');
                continue;
            }
        }
        piece += line;
        piece.push('\n');
        for character in line.chars() {
            match character {
                '{' => depth += 1,
                '}' => depth = depth.checked_sub(1).ok_or("a brace closes nothing")?,
                _ => {}
            }
        }
        // Values of variables are in braces, too, and end with a semicolon.
        let is_function = piece.contains(".func") || piece.contains(".entry");
        if depth == 0 && piece.trim_start().starts_with(".section") {
            if piece.contains('{') {
                piece.clear();
            }
        } else if depth == 0 && (line.ends_with(';') || (is_function && line.ends_with('}'))) {
            module.pieces.push(Piece::new(std::mem::take(&mut piece))?);
        }
    }
    match piece.lines().next() {
        Some(line) => Err(format!("`{}` doesn't end", line.trim())),
        None => Ok(module),
    }
}

fn without_comment(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

impl Piece {
    fn new(text: String) -> Result<Piece, String> {
        let head = text.split(['{', '=']).next().unwrap_or(&text);
        let has_body = text.contains('{');
        let is_function = head.contains(".func") || head.contains(".entry");
        let form = match (head.trim_start().starts_with(".extern"), is_function && has_body) {
            (true, _) => Form::External,
            (false, true) => Form::Function,
            (false, false) => Form::Other,
        };
        let name = if is_function { name_of_function(head) } else { name_of_variable(head) };
        let name = name.ok_or_else(|| format!("`{}` has no name", head.trim()))?.to_owned();
        Ok(Piece { form, name, names: names(&text).map(str::to_owned).collect(), calls: calls(&text), text })
    }

    /// The same with another text.
    pub(super) fn with_text(&self, text: String) -> Piece {
        let (names, calls) = (names(&text).map(str::to_owned).collect(), calls(&text));
        Piece { form: self.form, name: self.name.clone(), names, calls, text }
    }

    /// A function's text up to its body, without the semicolon of a declaration.
    pub(super) fn head(&self) -> &str {
        self.text.split(['{', ';']).next().unwrap_or_default().trim()
    }

    /// The sizes in bits of a function's parameters. An array of bytes counts as 0.
    pub(super) fn parameters(&self) -> Vec<u32> {
        let after = self.head().split_once(&self.name).map_or("", |(_, after)| after);
        sizes(after.split([')']).next().unwrap_or_default())
    }

    /// The size in bits of what a function returns.
    pub(super) fn returns(&self) -> Option<u32> {
        let before = self.head().split_once(&self.name).map_or("", |(before, _)| before);
        sizes(before).first().copied()
    }

    /// Whether rustc says that it doesn't come back.
    pub(super) fn never_returns(&self) -> bool {
        self.head().contains(".noreturn")
    }
}

fn sizes(parameters: &str) -> Vec<u32> {
    let parts = parameters.split(".param").skip(1);
    parts
        .map(|part| {
            let kind = part.split_whitespace().find(|word| !matches!(*word, ".align")).unwrap_or_default();
            match part.contains('[') {
                true => 0,
                false => kind.trim_start_matches(['.', 'b', 'u', 's', 'f']).parse().unwrap_or(0),
            }
        })
        .collect()
}

fn name_of_function(head: &str) -> Option<&str> {
    let (_, after) = head.split_once(".func").or_else(|| head.split_once(".entry"))?;
    let after = after.trim_start();
    let after = if after.starts_with('(') { after.split_once(')')?.1 } else { after };
    names(after).next()
}

fn name_of_variable(head: &str) -> Option<&str> {
    names(head.split(['[', ';']).next()?).last()
}

/// The words of a text that may be names: no directives, no registers, no numbers.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || "_$.%".contains(character);
    let words = text.split(move |character| !is_part(character));
    words.filter(|word| word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_' || first == '$'))
}

/// The functions that a body calls by their names.
fn calls(text: &str) -> Vec<String> {
    let statements = text.split([';', '{', '}']).map(str::trim).filter(|statement| statement.starts_with("call"));
    // Its first words are the instruction and, in parentheses, where the result goes.
    let called = statements.filter_map(|statement| {
        let after = statement.split_once(char::is_whitespace)?.1.trim_start();
        let after = if after.starts_with('(') { after.split_once(')')?.1 } else { after };
        names(after.trim_start_matches([',', ' ', '\t', '\n']).split(',').next()?).next()
    });
    called.map(str::to_owned).collect()
}
