//! Reads the signatures of a program's kernels. It is no parser of C++: it finds `__global__`, and takes the few types
//! that a launch can hand over. NVRTC judges everything else.

/// A kernel, as it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// As the program has it.
    pub name: String,
    /// Where its `__global__` is; the first line is 1.
    pub line: usize,
    /// In their order.
    pub parameters: Vec<Parameter>,
}

/// What a kernel takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// As the program has it, or `argument_2` if it has none.
    pub name: String,
    /// The Rust type of the value, or of what the pointer points to.
    pub rust: &'static str,
    /// How it is handed over.
    pub pass: Pass,
}

/// How a parameter is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// `T`
    Value,
    /// `const T *`
    Read,
    /// `T *`
    Write,
}

/// A signature that can't be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The line of the kernel's `__global__`; the first line is 1.
    pub line: usize,
    /// Why, and what may be there instead.
    pub what: String,
}

const TAKEN: &str = "there may be float, double, bool, char, short, int, long, long long, each whole number also \
                     unsigned, size_t, int8_t to uint64_t, and pointers to these";

/// All kernels that a program defines, in its order, or what is wrong with the first that can't be called.
pub fn kernels(program: &str) -> Result<Vec<Kernel>, Refused> {
    let tokens = tokens(program);
    let mut kernels: Vec<Kernel> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if token.text != "__global__" {
            continue;
        }
        let refused = |what: String| Refused { line: token.line, what };
        let rest = tokens.get(at + 1..).unwrap_or_default();
        let (head, open) = head(rest);
        let [first, name] = head.as_slice() else {
            return Err(refused("`void NAME(` is missing after __global__".to_owned()));
        };
        if first.text != "void" || !is_name(name.text) {
            return Err(refused("`void NAME(` is missing after __global__".to_owned()));
        }
        let inner = rest.get(open + 1..).unwrap_or_default();
        let close = inner.iter().position(|it| it.text == ")");
        let Some(close) = close else {
            return Err(refused(format!("the parameters of `{}` have no end", name.text)));
        };
        // A declaration only says what a definition says again.
        if inner.get(close + 1).is_some_and(|it| it.text == ";") {
            continue;
        }
        if !is_extern_c(tokens.get(..at).unwrap_or_default()) {
            return Err(refused(format!(
                "`{}` needs extern \"C\" before __global__, to be found by its name",
                name.text
            )));
        }
        if kernels.iter().any(|it| it.name == name.text) {
            return Err(refused(format!("`{}` is there twice", name.text)));
        }
        let parameters = parameters(inner.get(..close).unwrap_or_default());
        let parameters = parameters.map_err(|what| refused(format!("`{}`: {what}", name.text)))?;
        kernels.push(Kernel { name: name.text.to_owned(), line: token.line, parameters });
    }
    Ok(kernels)
}

/// What stands in front of the parameters but for `__launch_bounds__(..)`, and where their `(` is.
fn head<'t, 'a>(tokens: &'t [Token<'a>]) -> (Vec<&'t Token<'a>>, usize) {
    let (mut head, mut at) = (Vec::new(), 0);
    while let Some(token) = tokens.get(at) {
        match token.text {
            "(" => break,
            "__launch_bounds__" => {
                let bounds = tokens.get(at..).unwrap_or_default();
                at += bounds.iter().position(|it| it.text == ")").unwrap_or(bounds.len());
            }
            _ => head.push(token),
        }
        at += 1;
    }
    (head, at)
}

fn is_extern_c(before: &[Token<'_>]) -> bool {
    matches!(before, [.., a, b] if a.text == "extern" && b.text == "\"C\"")
}

fn parameters(tokens: &[Token<'_>]) -> Result<Vec<Parameter>, String> {
    if tokens.is_empty() || matches!(tokens, [only] if only.text == "void") {
        return Ok(Vec::new());
    }
    let all = tokens.split(|it| it.text == ",").enumerate();
    all.map(|(index, tokens)| parameter(index + 1, tokens)).collect()
}

fn parameter(number: usize, tokens: &[Token<'_>]) -> Result<Parameter, String> {
    let words: Vec<&str> = tokens.iter().map(|it| it.text).collect();
    let refused = || format!("parameter {number}, `{}`, can't be handed over: {TAKEN}", words.join(" "));
    let star = words.iter().position(|it| *it == "*");
    let (before, after) = words.split_at_checked(star.unwrap_or(words.len())).ok_or_else(refused)?;
    let is_const = before.contains(&"const");
    let mut before: Vec<&str> = before.iter().copied().filter(|it| *it != "const").collect();
    let name = match star {
        // Behind a pointer's `*` stand its own qualifiers and its name.
        Some(_) => {
            let own = after.iter().skip(1).filter(|it| !matches!(**it, "const" | "__restrict__" | "__restrict"));
            match own.collect::<Vec<_>>().as_slice() {
                [] => None,
                [name] if is_name(name) => Some(**name),
                _ => return Err(refused()),
            }
        }
        // A last word that isn't one of a type is the name.
        None if before.last().is_some_and(|it| is_name(it) && !is_type_word(it)) => before.pop(),
        None => None,
    };
    let rust = rust_type(&before).ok_or_else(refused)?;
    if rust == "bool" && star.is_some() && !is_const {
        return Err(format!(
            "parameter {number}, `{}`, can't be handed over: a kernel could leave there what is no `bool` in Rust; \
             `unsigned char *` can be",
            words.join(" ")
        ));
    }
    let pass = match (star, is_const) {
        (None, _) => Pass::Value,
        (Some(_), true) => Pass::Read,
        (Some(_), false) => Pass::Write,
    };
    Ok(Parameter { name: name.map_or_else(|| format!("argument_{number}"), str::to_owned), rust, pass })
}

fn is_type_word(word: &str) -> bool {
    matches!(word, "signed" | "unsigned") || rust_type(&[word]).is_some()
}

/// The Rust type of a type's words, in any order that C++ allows.
fn rust_type(words: &[&str]) -> Option<&'static str> {
    if let [word] = words {
        let single = match word.strip_prefix("std::").unwrap_or(word) {
            "float" => "f32",
            "double" => "f64",
            "bool" => "bool",
            "size_t" | "uint64_t" => "u64",
            "int64_t" => "i64",
            "uint32_t" => "u32",
            "int32_t" => "i32",
            "uint16_t" => "u16",
            "int16_t" => "i16",
            "uint8_t" => "u8",
            "int8_t" => "i8",
            _ => "",
        };
        if !single.is_empty() {
            return Some(single);
        }
    }
    let count = |wanted: &str| words.iter().filter(|it| **it == wanted).count();
    let (unsigned, signed) = (count("unsigned"), count("signed"));
    let counts = (count("char"), count("short"), count("int"), count("long"));
    let (chars, shorts, ints, longs) = counts;
    if words.is_empty() || unsigned + signed > 1 || unsigned + signed + chars + shorts + ints + longs != words.len() {
        return None;
    }
    match (counts, unsigned == 1) {
        ((1, 0, 0, 0), true) => Some("u8"),
        ((1, 0, 0, 0), false) => Some("i8"),
        ((0, 1, 0 | 1, 0), true) => Some("u16"),
        ((0, 1, 0 | 1, 0), false) => Some("i16"),
        ((0, 0, 0 | 1, 0), true) => Some("u32"),
        ((0, 0, 0 | 1, 0), false) => Some("i32"),
        ((0, 0, 0 | 1, 1 | 2), true) => Some("u64"),
        ((0, 0, 0 | 1, 1 | 2), false) => Some("i64"),
        _ => None,
    }
}

#[derive(Debug, Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    line: usize,
}

fn is_name(text: &str) -> bool {
    text.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_')
}

/// Words, texts in quotes, and single signs. Comments and lines of the preprocessor are left out.
fn tokens(program: &str) -> Vec<Token<'_>> {
    let (mut tokens, mut rest, mut line) = (Vec::new(), program, 1);
    let mut fresh_line = true;
    while let Some(first) = rest.chars().next() {
        let is_word = |it: char| it.is_alphanumeric() || it == '_' || it == ':';
        let bytes = match first {
            '#' if fresh_line => directive(rest),
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' | '\'' => quoted(rest, first),
            _ if is_word(first) => rest.find(|it| !is_word(it)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (text, behind) = rest.split_at_checked(bytes).unwrap_or((rest, ""));
        let is_space = first.is_whitespace() || text.starts_with("//") || text.starts_with("/*");
        let is_directive = first == '#' && fresh_line;
        if !is_space && !is_directive {
            tokens.push(Token { text, line });
        }
        fresh_line = first == '\n' || (fresh_line && is_space);
        line += text.matches('\n').count();
        rest = behind;
    }
    tokens
}

/// The bytes of a line of the preprocessor, which goes on behind a `\`.
fn directive(text: &str) -> usize {
    let mut bytes = 0;
    for line in text.split_inclusive('\n') {
        bytes += line.trim_end_matches(['\r', '\n']).len();
        if !line.trim_end().ends_with('\\') {
            break;
        }
        bytes += line.len() - line.trim_end_matches(['\r', '\n']).len();
    }
    bytes
}

/// The bytes of a text in quotes. One that has no end goes to the end of its line.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, it) in text.char_indices().skip(1) {
        match it {
            '\n' => return at,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if it == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests;
