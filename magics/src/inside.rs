//! A magic that someone has written inside of Rust, where none can stand: what to write there instead, in their own words.

use crate::magic::Name;

/// A magic inside of Rust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside<'a> {
    /// As written, up to the end of its line or of the block that it is in.
    pub text: &'a str,
    /// What can be done instead.
    pub instead: String,
}

/// The magic at this place of a cell, if one stands there. Line and column are 1-based, the latter in characters.
pub fn inside_rust(cell: &str, line: usize, column: usize) -> Option<Inside<'_>> {
    let above = cell.lines().take(line.checked_sub(1)?).map(without_comment);
    let above = above.filter(|line| !line.is_empty() && !line.starts_with('#')).last();
    let line = cell.lines().nth(line.checked_sub(1)?)?;
    let start = line.char_indices().nth(column.checked_sub(1)?)?.0;
    let text = end_of(&line[start..]);
    let words = text.strip_prefix("%%").or_else(|| text.strip_prefix('%'))?;
    let (name, rest) = words.split_at(words.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(words.len()));
    let name = Name::find(name)?;
    // A statement that doesn't end goes on in this line.
    let goes_on = line[..start].trim().is_empty() && above.is_some_and(|above| !above.ends_with([';', '{', '}']));
    let instead = match goes_on {
        true => "end the statement above it with `;`".to_owned(),
        false => instead(name.as_str(), rest.trim()),
    };
    Some(Inside { text, instead })
}

/// What stands on a line before a comment, if there is one.
fn without_comment(line: &str) -> &str {
    line.split("//").next().unwrap_or_default().trim()
}

/// Without what closes a block or a statement around it.
fn end_of(text: &str) -> &str {
    let mut open = 0i32;
    let end = text.char_indices().find(|(_, c)| {
        open += i32::from(matches!(c, '{' | '(' | '[')) - i32::from(matches!(c, '}' | ')' | ']'));
        open < 0 || *c == ';' && open == 0
    });
    text[..end.map_or(text.len(), |(at, _)| at)].trim_end()
}

fn instead(name: &str, rest: &str) -> String {
    // Flags have other names in Rust, so what they say isn't in the example.
    let rest = if name == "map" { &rest[rest.find('|').unwrap_or(0)..] } else { rest };
    let words: Vec<&str> = rest.split_whitespace().take_while(|word| !word.starts_with('-')).collect();
    let rest = words.join(" ");
    let rust = match name {
        "px" if rest.is_empty() => "`px::engines().each(|| ..)?`".to_owned(),
        "px" => format!(
            "`px::engines().each(|| {{ {rest} }})?`; it is given the engines' variables by `px::engines().with(px::var!(name)).each(|name: &Type| ..)?`"
        ),
        "push" | "scatter" => format!("`px::{name}!({rest})?`"),
        "pull" | "gather" => {
            let (from, to) = rest.split_once(" as ").unwrap_or((&rest, &rest));
            format!("`let {to}: Vec<_> = px::{name}!({from})?`, with the type of its items")
        }
        "map" => match rest
            .split_once(" over each ")
            .map(|both| (true, both))
            .or(rest.split_once(" over ").map(|both| (false, both)))
        {
            Some((false, (function, data))) => {
                let data = if data.contains("..") { data.to_owned() } else { format!("&{data}") };
                format!("`px::map({function}, {data}).collect()?`, where the parameter has a type")
            }
            Some((true, (function, data))) => format!(
                "`px::engines().with(px::var!({data})).each(|{data}: &Vec<_>| {data}.iter().map({function}).collect::<Vec<_>>())?`, \
                 with the type of its items"
            ),
            None => "`px::map(f, &xs).collect()?`".to_owned(),
        },
        "timeit" => "`px::timeit(None, 7, || ..)`".to_owned(),
        _ => return format!("a magic has a line of its own, outside of Rust's blocks: `%{name}` above or below them"),
    };
    format!("from Rust it is {rust}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(cell: &str) -> Option<(&str, String)> {
        let (line, text) = cell.lines().enumerate().find(|(_, text)| text.contains('%'))?;
        let column = text.find('%')? + 1;
        inside_rust(cell, line + 1, column).map(|found| (found.text, found.instead))
    }

    #[test]
    fn what_to_write_is_said_in_the_users_words() {
        for (cell, text, instead) in [
            ("for k in 0..3 {\n    %push centers\n}", "%push centers", "from Rust it is `px::push!(centers)?`"),
            ("if ok { %scatter xs as part }", "%scatter xs as part", "from Rust it is `px::scatter!(xs as part)?`"),
            (
                "loop { %gather part as all; }",
                "%gather part as all",
                "from Rust it is `let all: Vec<_> = px::gather!(part)?`, with the type of its items",
            ),
            (
                "let s = %map --chunk 5 |x| x * (2.0 + k[0]) over points;",
                "%map --chunk 5 |x| x * (2.0 + k[0]) over points",
                "from Rust it is `px::map(|x| x * (2.0 + k[0]), &points).collect()?`, where the parameter has a type",
            ),
            (
                "{ %cluster status }",
                "%cluster status",
                "a magic has a line of its own, outside of Rust's blocks: `%cluster` above or below them",
            ),
        ] {
            assert_eq!(at(cell), Some((text, instead.to_owned())), "{cell}");
        }
        assert_eq!(at("let a = 7\n\n%timeit a").unwrap().1, "end the statement above it with `;`");
        for within in ["fn f() {\n  // count\n  %push xs\n}", "{ f(); // once\n #[cold]\n%push xs }"] {
            assert!(at(within).is_some_and(|(_, instead)| instead.contains("`px::push!(xs)?`")), "{within}");
        }
        assert!(at("fn f() {\n  %px part.len()\n}").is_some_and(|(_, rust)| rust.contains("each(|| { part.len() })")));
    }

    #[test]
    fn a_remainder_is_none() {
        assert_eq!(at("let a = b\n    % c;"), None);
        assert_eq!(at("a %d"), None);
        assert_eq!(inside_rust("é%px", 1, 9), None);
        assert_eq!(inside_rust("", 0, 0), None);
        assert_eq!(inside_rust("é %px 1", 1, 3).map(|found| found.text), Some("%px 1"));
    }
}
