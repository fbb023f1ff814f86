//! A magic that someone has written inside of Rust, where none can stand: what to write there instead, in their own words.

use crate::PxConfig;
use crate::in_rust::{Surroundings, in_rust};
use crate::magic::Name;
use crate::pieces::{Kind, pieces};
use std::collections::BTreeSet;

/// A magic inside of Rust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside<'a> {
    /// As written, up to the end of its line or of the block that it is in.
    pub text: &'a str,
    /// What can be done instead.
    pub instead: String,
}

/// The magic at this place of a cell, if one stands there. Line and column are 1-based, the latter in characters. `theirs` are
/// the names of the engines' variables.
pub fn inside_rust<'a>(cell: &'a str, line: usize, column: usize, theirs: &BTreeSet<String>) -> Option<Inside<'a>> {
    let whole = cell.split_inclusive('\n').nth(line.checked_sub(1)?)?;
    let line_start = cell.split_inclusive('\n').take(line - 1).map(str::len).sum::<usize>();
    let start = line_start + whole.char_indices().nth(column.checked_sub(1)?)?.0;
    let (above, rest) = cell.split_at(start);
    let text = end_of(rest.lines().next()?, &[';']);
    let words = text.strip_prefix("%%").or_else(|| text.strip_prefix('%'))?;
    let (name, _) = words.split_at(words.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(words.len()));
    let name = Name::find(name)?;
    let is_first = above[line_start..].trim().is_empty();
    let before = above.lines().map(without_comment).rfind(|line| !line.is_empty() && !line.starts_with('#'));
    // A statement that doesn't end goes on in this line.
    let instead = match is_first && before.is_some_and(|before| !before.ends_with([';', '{', '}'])) {
        true => "end the statement above it with `;`".to_owned(),
        false => {
            let is_statement = is_first || above.trim_end().ends_with([';', '{', '}']);
            // What a `%%name` takes goes on to the end of its block.
            let text = if text.starts_with("%%") { end_of(rest, &[]) } else { text };
            instead(name, text, &Surroundings { above, is_statement, theirs })
        }
    };
    Some(Inside { text, instead })
}

/// What stands on a line before a comment, if there is one.
fn without_comment(line: &str) -> &str {
    line.split("//").next().unwrap_or_default().trim()
}

/// Without what closes a block around it, or is one of these outside of brackets.
fn end_of<'a>(text: &'a str, ends: &[char]) -> &'a str {
    let mut open = 0i32;
    let end = text.char_indices().find(|(_, c)| {
        open += i32::from(matches!(c, '{' | '(' | '[')) - i32::from(matches!(c, '}' | ')' | ']'));
        open < 0 || ends.contains(c) && open == 0
    });
    text[..end.map_or(text.len(), |(at, _)| at)].trim_end()
}

fn instead(name: Name, text: &str, around: &Surroundings<'_>) -> String {
    let pieces = pieces(text, &PxConfig::default(), None);
    let command = pieces.first().filter(|piece| piece.error.is_none()).and_then(|piece| match &piece.kind {
        Kind::Magic(used) => used.command.as_ref(),
        _ => None,
    });
    // Of a magic that says too little, the form.
    let form = || match (name.as_str(), command) {
        ("px", None) => Some("from Rust it is `px::engines().each(|| ..)?`"),
        ("push", None) => Some("from Rust it is `px::push!(xs)?`"),
        ("pull", None) => Some("from Rust it is `px::pull!(x)?`"),
        ("scatter", None) => Some("from Rust it is `px::scatter!(xs as part)?`"),
        ("gather", None) => Some("from Rust it is `px::gather!(part)?`"),
        ("map", None) => Some("from Rust it is `px::map(f, &xs).collect()?`"),
        ("timeit", None) => Some("from Rust it is `px::timeit(None, 7, || ..)`"),
        _ => None,
    };
    command.and_then(|command| in_rust(command, around)).or_else(|| form().map(str::to_owned)).unwrap_or_else(|| {
        format!("a magic has a line of its own, outside of Rust's blocks: `{name}` above or below them")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at<'a>(cell: &'a str, theirs: &[&str]) -> Option<(&'a str, String)> {
        let (line, text) = cell.lines().enumerate().find(|(_, text)| text.contains('%'))?;
        let column = text.find('%')? + 1;
        let theirs = theirs.iter().map(|name| (*name).to_owned()).collect();
        inside_rust(cell, line + 1, column, &theirs).map(|found| (found.text, found.instead))
    }

    #[test]
    fn what_to_write_is_said_in_the_users_words() {
        for (magic, rust) in [
            ("%push centers, k as n", "px::push!(centers, k as n)?"),
            ("%push xs as ys -t 0,2", "px::engines().on([0, 2]).push(px::var!(ys), &xs)?"),
            ("%scatter xs as part", "px::scatter!(xs as part)?"),
            ("%scatter xs as part --round-robin", "px::engines().scatter_by_turns(px::var!(part), &xs)?"),
            ("%gather part as all;", "let all = px::gather!(part)?"),
            (
                "%pull n, m -t 1",
                "let n = px::engines().on([1]).pull(px::var!(n))?.remove(0); let m = px::engines().on([1]).pull(px::var!(m))?.remove(0)",
            ),
            ("%map --sum |x: f64| x * 2.0 over xs", "px::map(|x: f64| x * 2.0, &xs).sum()?"),
            (
                "%map -o ys --chunk 3 |x| x + 1 over each part",
                "let ys = px::map(|x| x + 1, px::var!(part)).chunk(3).collect()?",
            ),
            (
                "%map --keep -o ys |x| x + k over each part",
                "px::map_with((&k,), |(k,), x| x + k, px::var!(part)).keep(px::var!(ys))?",
            ),
            (
                "%map -a -o h --on-error keep --filter '|y| *y > 1' f over 0..9",
                "let h = px::map(f, 0..9).filter(|y| *y > 1).start().collect_errors()?",
            ),
            (
                "%map --timeout 2 --retries 3 --threads 4 -t 0,1 --on-error skip --reduce '|a, b| a.max(b)' it * 2 over [1, 2]",
                "px::map(|it| it * 2, &[1, 2]).retries(3).timeout(2.0).threads(4).on(&px::engines().on([0, 1])).on_error(px::OnError::Skip).reduce(|a, b| a.max(b))?",
            ),
            (
                "%map |x: &f64, n| *x * n as f64 over xs, 0..9",
                "px::map(|(x, n)| { let x = &x; *x * n as f64 }, px::over!(&xs, 0..9)).collect()?",
            ),
            (
                "%map |t: &str, &n: &u8| t.len() over texts, ns",
                "px::map(|(t, n): (String, u8)| { let t = &t; t.len() }, px::over!(&texts, &ns)).collect()?",
            ),
            ("%map f64::powi over xs, ns", "px::map(|(a, b)| f64::powi(a, b), px::over!(&xs, &ns)).collect()?"),
            ("%map f over xs.iter().rev()", "px::map(f, px::over!(xs.iter().rev())).collect()?"),
            ("%px -t 0 println!(\"{}\", i)", "px::engines().on([0]).with(&i).each(|i| println!(\"{}\", i))?"),
            (
                "%px part.push(n as f64)",
                "px::engines().with((&n, px::var!(mut part))).each(|n, part| part.push(n as f64))?",
            ),
            ("%px part.len() + usize::MAX", "px::engines().with(px::var!(part)).each(|part| part.len() + usize::MAX)?"),
            ("%px let part = vec![0; 3];", "px::engines().keep(px::var!(part), || vec![0; 3])?"),
            ("%px --noblock work()", "px::engines().start(|| work())?"),
            ("%timeit 1+1", "px::timeit(None, 7, || 1+1)"),
            ("%timeit -n 10 -r 3 f(x)", "px::timeit(Some(10), 3, || f(x))"),
            ("%px", "px::engines().each(|| ..)?"),
        ] {
            let cell = format!("loop {{\n  {magic}\n}}");
            let (_, instead) = at(&cell, &["part"]).unwrap();
            assert_eq!(instead, format!("from Rust it is `{rust}`"), "{magic}");
        }
        let instead = |cell: &str| at(cell, &["part"]).unwrap().1;
        assert_eq!(instead("let all = %gather part;"), "from Rust it is `px::gather!(part)?`");
        assert!(
            instead("fn f() {\n  %pull n\n}")
                .ends_with("`let n = px::pull!(n)?`, in a function with its type, such as `let n: Vec<f64>`")
        );
        assert_eq!(
            instead("for i in 0..3 {\n    %%px\n    let a = i;\n    part.sort_by(cmp());\n}"),
            "from Rust it is\npx::engines().with((&i, px::var!(mut part))).each(|&i, part| {\n    let a = i;\n    part.sort_by(cmp());\n})?"
        );
        assert!(
            instead("loop { %px px::barrier() }").starts_with("`px::barrier` works in cells that run on the engines")
        );
        assert!(
            instead("loop { %map |x| x + part[0] over xs }")
                .ends_with("its function can't be given `part`, which is the engines'")
        );
        for own in ["%cluster status", "%push xs --gpu", "%map --gpu |x| x over xs"] {
            assert!(instead(&format!("{{ {own} }}")).starts_with("a magic has a line of its own"), "{own}");
        }
    }

    #[test]
    fn what_stands_around_it_matters() {
        assert_eq!(at("if ok { %scatter xs as part }", &[]).unwrap().0, "%scatter xs as part");
        assert_eq!(at("let a = 7\n\n%timeit a", &[]).unwrap().1, "end the statement above it with `;`");
        for within in ["fn f() {\n  // count\n  %push xs\n}", "{ f(); // once\n #[cold]\n%push xs }"] {
            assert!(at(within, &[]).is_some_and(|(_, instead)| instead.contains("`px::push!(xs)?`")), "{within}");
        }
    }

    #[test]
    fn a_remainder_is_none() {
        let inside = |cell, line, column| inside_rust(cell, line, column, &BTreeSet::new());
        assert_eq!(at("let a = b\n    % c;", &[]), None);
        assert_eq!(at("a %d", &[]), None);
        assert_eq!(inside("é%px", 1, 9), None);
        assert_eq!(inside("", 0, 0), None);
        assert_eq!(inside("é %px 1", 1, 3).map(|found| found.text), Some("%px 1"));
    }
}
