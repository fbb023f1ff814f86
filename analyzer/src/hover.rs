//! Documentation of the word at the cursor, or of the function in whose arguments the cursor is.

use crate::message::Hover;
use crate::place::{Place, size};
use crate::source::WRAPPER;
use ra_ap_ide::{Cancellable, FileRange, HoverConfig, HoverDocFormat, RaFixtureConfig, SubstTyLen, TextRange};
use ra_ap_syntax::ast::{self, AstNode};
use ra_ap_syntax::{Edition, SourceFile};

pub(crate) fn hover(place: &Place, detailed: bool) -> Cancellable<Option<Hover>> {
    let (text, cursor) = (&place.wrapped.text, place.wrapped.cursor);
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '!';
    let (before, after) = text.split_at_checked(cursor).unwrap_or((text, ""));
    let in_word = before.ends_with(is_word) || after.starts_with(is_word);
    let function = called(text, cursor);
    // Of `(` and the like rust-analyzer knows a type, which is of less use there.
    let places = if in_word { [Some(cursor), function] } else { [function, Some(cursor)] };
    for at in places.into_iter().flatten() {
        if let Some(markdown) = at_offset(place, at, detailed)? {
            return Ok(Some(Hover { plain: readable(&markdown), markdown }));
        }
    }
    Ok(None)
}

fn at_offset(place: &Place, offset: usize, detailed: bool) -> Cancellable<Option<String>> {
    let range = FileRange { file_id: place.file, range: TextRange::empty(size(offset)) };
    let found = place.analysis.hover(&config(detailed), range)?;
    let in_code = |range: TextRange| {
        let bounds = (usize::from(range.start()), usize::from(range.end()));
        place.wrapped.in_code(bounds.0).is_some() && place.wrapped.in_code(bounds.1).is_some()
    };
    let text = found.filter(|found| in_code(found.range)).map(|found| found.info.markup.as_str().trim().to_owned());
    Ok(text.filter(|text| !text.is_empty() && !text.contains(WRAPPER)).map(|text| without_hidden_lines(&text)))
}

/// Without the lines of examples that rustdoc hides, which begin with `# `.
fn without_hidden_lines(text: &str) -> String {
    let mut in_code = false;
    let is_shown = |line: &&str| {
        in_code ^= line.trim_start().starts_with("```");
        let line = line.trim();
        !(in_code && (line == "#" || line.starts_with("# ")))
    };
    text.lines().filter(is_shown).flat_map(|line| [line, "\n"]).collect::<String>().trim_end().to_owned()
}

/// Markdown as text: in rust-analyzer's own, headings and list items run into what follows them.
pub fn readable(markdown: &str) -> String {
    let (mut is_code, mut out) = (false, String::new());
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
            continue;
        }
        let line = match line.trim_end() {
            line if is_code => line,
            "---" | "___" => "",
            line => match line.trim_start_matches('#').strip_prefix(' ') {
                Some(heading) if line.starts_with('#') => heading.trim_start(),
                _ => line,
            },
        };
        if !line.is_empty() || !out.is_empty() && !out.ends_with("\n\n") {
            out += line;
            out.push('\n');
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// The end of the name of the function whose arguments the cursor is in.
fn called(text: &str, cursor: usize) -> Option<usize> {
    let file = SourceFile::parse(text, Edition::CURRENT).tree();
    let token = file.syntax().token_at_offset(size(cursor)).left_biased()?;
    let call = token.parent_ancestors().find_map(|node| {
        let end = match (ast::CallExpr::cast(node.clone()), ast::MethodCallExpr::cast(node)) {
            (Some(call), _) => call.expr()?.syntax().text_range().end(),
            (_, Some(call)) => call.name_ref()?.syntax().text_range().end(),
            _ => return None,
        };
        Some(usize::from(end))
    });
    call.filter(|end| *end < cursor)
}

fn config(detailed: bool) -> HoverConfig<'static> {
    let most = if detailed { 100 } else { 10 };
    HoverConfig {
        links_in_hover: true,
        memory_layout: None,
        documentation: true,
        keywords: true,
        format: HoverDocFormat::Markdown,
        max_trait_assoc_items_count: Some(most),
        max_fields_count: Some(most),
        max_enum_variants_count: Some(most),
        max_subst_ty_len: SubstTyLen::LimitTo(most * 5),
        show_drop_glue: false,
        ra_fixture: RaFixtureConfig::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_keeps_its_parts_apart() {
        let markdown = "```rust\nalloc::vec\n```\n\n---\n\nAppends.\n\n# Panics\n\nNever.\n#12\n\n- one\n- two\n\n```rust\n# use a;\n\n\nf();\n```\n";
        assert_eq!(
            readable(markdown),
            "alloc::vec\n\nAppends.\n\nPanics\n\nNever.\n#12\n\n- one\n- two\n\n# use a;\n\nf();"
        );
        assert_eq!(readable(""), "");
    }
}
