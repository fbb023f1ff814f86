//! Which lines are commands for the shell, though Rust, too, has a `!` at the beginning of expressions.

use crate::scan::{is_word, quoted};

/// The command of a line that begins with `!`, if that is what its writer means. Only lines above any Rust are asked.
///
/// `!` and a word is a command, also where it could be a variable. What no shell could make sense of is Rust: `!(a)`,
/// `!!a`, `!*a`, a number, a call, a macro, a path with `::`, an index, and a method of any of them or of a literal.
pub(crate) fn shell_command(line: &str) -> Option<&str> {
    let command = line.trim_start().strip_prefix('!')?;
    let begins = |c: char| is_word(c) || c.is_whitespace() || matches!(c, '.' | '/' | '~' | '$' | '"' | '\'');
    (command.starts_with(begins) && !command.trim().is_empty() && !is_rust(command)).then_some(command.trim())
}

/// Whether this, with which a `!` goes on, is Rust and can't be a command.
fn is_rust(text: &str) -> bool {
    if is_number(text) {
        return true;
    }
    let mut rest = text;
    loop {
        let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        rest = rest.get(word..).unwrap_or("");
        // `r"..."` is one of these, too.
        let after = quoted(rest).unwrap_or(rest);
        let moved = word > 0 || after.len() < rest.len();
        rest = after;
        if let Some(arguments) = rest.strip_prefix('(').filter(|_| moved) {
            // `greet() { echo hello; }; greet`
            let defines =
                arguments.trim_start().strip_prefix(')').is_some_and(|body| body.trim_start().starts_with('{'));
            return !defines;
        }
        if moved && (rest.starts_with("::") || rest.starts_with('[') || is_macro(rest)) {
            return true;
        }
        match rest.strip_prefix('.') {
            Some(method) if moved => rest = method,
            _ => return false,
        }
    }
}

fn is_macro(rest: &str) -> bool {
    rest.strip_prefix('!').is_some_and(|rest| rest.starts_with(['(', '[', '{']))
}

/// Whether it begins with an integer of Rust's; `7z` is a program.
fn is_number(text: &str) -> bool {
    const SUFFIXES: [&str; 13] =
        ["", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize"];
    let word = text.get(..text.find(|c| !is_word(c)).unwrap_or(text.len())).unwrap_or("");
    let radixes = [("0x", 16), ("0o", 8), ("0b", 2)];
    let prefixed = radixes.iter().find_map(|(prefix, radix)| Some((word.strip_prefix(prefix)?, *radix)));
    let (digits, radix) = prefixed.unwrap_or((word, 10));
    SUFFIXES.iter().filter_map(|suffix| digits.strip_suffix(suffix)).any(|digits| {
        let is_digit = |c: char| c.is_digit(radix);
        digits.contains(is_digit) && digits.chars().all(|c| is_digit(c) || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_shell_understands_is_rust() {
        for rust in [
            "!(1 + 1)",
            "!{ a }",
            "!!a",
            "!*a",
            "!&a",
            "!-1",
            "!|a| a",
            "!",
            "!  ",
            "!0",
            "!5u8",
            "!0xff_u16",
            "!0b1;",
            "!7.count_ones()",
            "!matches!(1, 2)",
            "!vec![1].is_empty()",
            "!cfg!(unix) && true",
            "!f(1)",
            "!f(a,",
            "!v.is_empty()",
            "!a.b.c(1)",
            "!a::b",
            "!Vec::<u8>::new().is_empty()",
            "!v[0]",
            "!a.b[0]",
            "!\"abc\".is_empty()",
            "!\"a\\\"b\".is_empty()",
            "!'a'.is_alphabetic()",
            "!r\"a\".is_empty()",
            "!b\"ab\".is_ascii()",
            "  !f()",
        ] {
            assert_eq!(shell_command(rust), None, "{rust}");
        }
        for command in [
            "!ls",
            "!ls -l | wc",
            "! b",
            "!./d",
            "!/bin/true",
            "!~/a",
            "!$HOME/a",
            "!\"my program\" a",
            "!'a b'",
            "!a.sh",
            "!a && b",
            "!a=f(x)",
            "!7z x a",
            "!2to3 a.py",
            "!0install",
            "!greet() { echo; }; greet",
            "!true",
            "!echo (a)",
            "!echo a::b",
            "! (cd a; ls)",
            "!\"./x\".sh",
            "!git log --oneline",
            "!cargo --version",
        ] {
            assert_eq!(shell_command(command), Some(command[1..].trim()), "{command}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_panics(line in "!?[a-z0-9\"'.:!(\\[{ é\\\\]{0,12}") {
            let _ = shell_command(&line);
        }
    }
}
