//! Quarto's options of a cell, which are for Quarto.

use std::borrow::Cow;

/// The cell with the lines `#| NAME: VALUE` at its beginning as comments of Rust, which `//|` lines are already. Everything
/// else stays in its place.
pub fn options_as_comments(cell: &str) -> Cow<'_, str> {
    let is_above_code = |line: &&str| line.starts_with("#|") || line.starts_with("//|") || line.trim().is_empty();
    let above: usize = cell.split_inclusive('\n').take_while(is_above_code).map(str::len).sum();
    let (above, below) = cell.split_at(above);
    if !above.contains("#|") {
        return Cow::Borrowed(cell);
    }
    let comments = above.split_inclusive('\n').map(|line| match line.strip_prefix("#|") {
        Some(option) => format!("//{option}"),
        None => line.to_owned(),
    });
    Cow::Owned(comments.collect::<String>() + below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_at_the_beginning_are_options() {
        for (cell, expected) in [
            ("", ""),
            ("1 + 1", "1 + 1"),
            ("#| echo: false", "// echo: false"),
            (
                "\n#| label: fig-a\n//| warning: false\n\n#| é: #| x\n%%px\n#| echo: true\n",
                "\n// label: fig-a\n//| warning: false\n\n// é: #| x\n%%px\n#| echo: true\n",
            ),
            ("//| echo: false\n#[derive(Debug)]\nstruct A;", "//| echo: false\n#[derive(Debug)]\nstruct A;"),
            ("let a = 1;\n#| no option", "let a = 1;\n#| no option"),
            (" #| indented\n", " #| indented\n"),
        ] {
            assert_eq!(options_as_comments(cell), expected);
            assert_eq!(options_as_comments(cell).len(), cell.len());
        }
    }
}
