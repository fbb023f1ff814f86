//! What engines do together, which only code can call that runs on them: `px::allreduce` and the like.

use crate::Code;
use crate::scan::is_word;

const TOGETHER: [&str; 12] = [
    "allgather",
    "allreduce",
    "alltoall",
    "barrier",
    "broadcast",
    "gather",
    "recv",
    "recv_any",
    "reduce",
    "scan",
    "scatter",
    "send",
];

/// The first name of a function of this kind: `px::allreduce`. The macros `px::gather!` and `px::scatter!` are the notebook's.
pub(crate) fn together<'a>(code: Code<'a>) -> Option<Code<'a>> {
    let text = code.text;
    text.match_indices("px::").find_map(|(at, path)| {
        let name = &text[at + path.len()..];
        let length = name.find(|c| !is_word(c)).unwrap_or(name.len());
        let is_path = !text[..at].ends_with(|c| is_word(c) || c == ':');
        let is_one = is_path && TOGETHER.contains(&&name[..length]) && !name[length..].starts_with('!');
        is_one.then(|| code.slice(at, at + path.len() + length))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_engines_are_found_and_macros_are_not() {
        let found =
            |text: &'static str| together(Code { text, line: 3, column: 5 }).map(|it| (it.text, it.line, it.column));
        assert_eq!(found("px::rank();\n é px::allreduce(1, px::sum)"), Some(("px::allreduce", 4, 4)));
        assert_eq!(found("px::recv::<u8>(0)"), Some(("px::recv", 3, 5)));
        for text in [
            "px::gather!(part)?",
            "px::scatter! (xs)",
            "apx::send(1)",
            "x::px::send(1)",
            "px::senders()",
            "send(0, 1)",
            "px::",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
