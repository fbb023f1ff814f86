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
        if let Some(markdown) = at_offset(place, at, detailed, HoverDocFormat::Markdown)?
            && let Some(plain) = at_offset(place, at, detailed, HoverDocFormat::PlainText)?
        {
            return Ok(Some(Hover { plain, markdown }));
        }
    }
    Ok(None)
}

fn at_offset(place: &Place, offset: usize, detailed: bool, format: HoverDocFormat) -> Cancellable<Option<String>> {
    let range = FileRange { file_id: place.file, range: TextRange::empty(size(offset)) };
    let found = place.analysis.hover(&config(detailed, format), range)?;
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

fn config(detailed: bool, format: HoverDocFormat) -> HoverConfig<'static> {
    let most = if detailed { 100 } else { 10 };
    HoverConfig {
        links_in_hover: true,
        memory_layout: None,
        documentation: true,
        keywords: true,
        format,
        max_trait_assoc_items_count: Some(most),
        max_fields_count: Some(most),
        max_enum_variants_count: Some(most),
        max_subst_ty_len: SubstTyLen::LimitTo(most * 5),
        show_drop_glue: false,
        ra_fixture: RaFixtureConfig::default(),
    }
}
