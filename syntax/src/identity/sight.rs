//! Which words of a definition may name others.

use crate::imports::imports;
use ra_ap_syntax::ast::{self, AstNode};
use ra_ap_syntax::{NodeOrToken, SyntaxKind, SyntaxNode, SyntaxToken};

/// Which of an item's words may name definitions of the notebook, or crates.
pub(super) struct Sight {
    /// Whether it is a module that sees none but by a path.
    is_closed: bool,
    /// Whether it gives a module around it, or the whole notebook, another name: then any word may be of that.
    renames: bool,
}

impl Sight {
    pub fn of(node: &SyntaxNode) -> Sight {
        let all_from_outside = |it: ast::Use| leads_out(it.syntax()) && imports(&it).iter().any(|it| it.name.is_none());
        let sees_all = || node.descendants().filter_map(ast::Use::cast).any(all_from_outside);
        let renames =
            node.descendants().filter_map(ast::UseTree::cast).any(|tree| tree.rename().is_some() && is_around(&tree));
        Sight { is_closed: ast::Module::can_cast(node.kind()) && !sees_all(), renames }
    }

    /// Whether this word of an item's tokens may name one. A path does with its first word, and behind `crate`, `self` and
    /// `super` with any; what else stands in a path is within what that names. Nobody knows what macros make of words.
    pub fn reaches(&self, tokens: &[SyntaxToken], at: usize) -> bool {
        let around = || tokens[at].parent_ancestors();
        if self.renames || around().any(|it| matches!(it.kind(), SyntaxKind::MACRO_CALL | SyntaxKind::MACRO_RULES)) {
            return true;
        }
        if let Some(import) = around().find(|it| it.kind() == SyntaxKind::USE) {
            return leads_out(&import) || first_name(&import).is_none_or(|first| first == tokens[at]);
        }
        let mut first = at;
        while let Some(before) = before_colons(tokens, first) {
            match tokens.get(before).map(SyntaxToken::kind) {
                Some(SyntaxKind::IDENT) => first = before,
                Some(SyntaxKind::CRATE_KW | SyntaxKind::SELF_KW | SyntaxKind::SUPER_KW) => return true,
                // `<T as Trait>::Name`, `Vec::<u8>::new` and `Self::Name`.
                Some(SyntaxKind::R_ANGLE | SyntaxKind::SELF_TYPE_KW) => return false,
                // `::name` is a crate.
                _ => break,
            }
        }
        let is_colon = tokens.get(at + 1).is_some_and(|next| next.text().starts_with(':'));
        let goes_on = is_colon && (is_colons(tokens, at + 2) || is_colons(tokens, at + 3));
        let is_crate = first == at && before_colons(tokens, at).is_some();
        first == at && (!self.is_closed || goes_on || is_crate)
    }
}

/// Whether it has a path that may lead out of a module.
fn leads_out(node: &SyntaxNode) -> bool {
    let is_out = |kind| matches!(kind, SyntaxKind::CRATE_KW | SyntaxKind::SUPER_KW);
    node.descendants_with_tokens().any(|it| is_out(it.kind()))
}

/// Whether a tree of a `use` means a module by `crate`, `self` or `super`.
fn is_around(tree: &ast::UseTree) -> bool {
    let kind = tree.path().and_then(|path| path.segment()?.kind());
    use ast::PathSegmentKind::{CrateKw, SelfKw, SuperKw};
    matches!(kind, Some(CrateKw | SelfKw | SuperKw))
}

/// The name that a `use` begins with, if it doesn't begin with braces.
fn first_name(import: &SyntaxNode) -> Option<SyntaxToken> {
    let path = ast::Use::cast(import.clone())?.use_tree()?.path()?;
    path.syntax()
        .descendants_with_tokens()
        .filter_map(NodeOrToken::into_token)
        .find(|it| it.kind() == SyntaxKind::IDENT)
}

/// Whether `::` ends before this token: in attributes the colons stand one by one.
fn is_colons(tokens: &[SyntaxToken], end: usize) -> bool {
    let kind = |back: usize| tokens.get(end.checked_sub(back)?).map(SyntaxToken::kind);
    kind(1) == Some(SyntaxKind::COLON2) || (kind(1) == Some(SyntaxKind::COLON) && kind(2) == Some(SyntaxKind::COLON))
}

/// What stands before the `::` in front of this token, if there is one; [`usize::MAX`] is nothing.
fn before_colons(tokens: &[SyntaxToken], at: usize) -> Option<usize> {
    is_colons(tokens, at).then(|| {
        let length = if tokens[at - 1].kind() == SyntaxKind::COLON2 { 1 } else { 2 };
        at.checked_sub(length + 1).unwrap_or(usize::MAX)
    })
}
