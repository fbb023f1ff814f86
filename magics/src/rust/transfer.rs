//! The Rust that `%push`, `%pull`, `%scatter` and `%gather` become: a cell that puts variables into rooms, and one for the
//! other side that takes them from there.
//!
//! What the user wrote keeps its line and column, so that errors point to it: there the first cell calls a macro of px,
//! which goes on to the end of the line.

use super::text::Text;
use crate::{Carried, Transfer, Way};
use std::fmt::Write as _;

/// What a transfer becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferTexts {
    /// The cell of the side that has the variables.
    pub put: Text,
    /// The cell of the other side.
    pub take: Text,
    /// The types that the variables have there.
    pub types: Vec<String>,
}

/// The texts for variables of these types, each with whether it is `mut`. `single` says that only one engine has them.
pub fn transfer_texts(transfer: &Transfer, types: &[(String, bool)], single: bool) -> TransferTexts {
    let (mut takes, mut taken) = (String::new(), Vec::new());
    for (at, (carried, (kind, mutable))) in transfer.variables.iter().zip(types).enumerate() {
        let items = items(kind);
        // What comes from a GPU is a `Vec`.
        let kind = &items.map_or_else(|| kind.clone(), |items| format!("Vec<{items}>"));
        let (kind, value) = match transfer.way {
            Way::Pull if !single => (format!("Vec<{kind}>"), format!("px::take_variables!({at}, {kind})")),
            Way::Push | Way::Pull => (kind.clone(), format!("px::take_variable!({at}, {kind})")),
            Way::Scatter { .. } | Way::Gather => {
                let value = format!("px::data::take_items({at}, |it: {kind}| px::data::item_of(&it))");
                (items.map_or_else(|| "Vec<_>".to_owned(), |items| format!("Vec<{items}>")), value)
            }
        };
        let (kind, value) = match transfer.gpu {
            true => (format!("px::Gpu{kind}"), format!("px::data::to_gpu({value})")),
            false => (kind, value),
        };
        let mutable = if *mutable { "mut " } else { "" };
        _ = write!(takes, "let {mutable}{}: {kind} = {value}; ", carried.to);
        taken.push(kind);
    }
    let put = match transfer.way {
        Way::Push | Way::Pull => "put_variables",
        Way::Scatter { .. } | Way::Gather => "put_parts",
    };
    let names: Vec<&str> = transfer.variables.iter().map(|carried| carried.from.as_str()).collect();
    let column = transfer.variables.iter().map(|carried| carried.column).min().unwrap_or(1);
    let (names, indent) = (names.join(", "), " ".repeat(column.saturating_sub(1)));
    let put = format!("let _ = {{ use px::{put} as px;\n{indent}px!({names}\n)}};");
    TransferTexts { put: Text::of_line(put, transfer.line), take: Text::of_line(takes, transfer.line), types: taken }
}

/// Of which type the items of this one are, if it is a `Vec`, here or on a GPU.
fn items(kind: &str) -> Option<&str> {
    let rest = kind.strip_prefix("px::Gpu").unwrap_or(kind);
    rest.strip_prefix("Vec<").and_then(|rest| rest.strip_suffix('>'))
}

/// The first variable that can't go to a GPU, as it isn't a `Vec`. Parts are made of other rows, too.
pub fn not_for_gpus<'t>(transfer: &'t Transfer, types: &[(String, bool)]) -> Option<&'t Carried> {
    let is_wrong = transfer.gpu && transfer.way == Way::Push;
    let mut all = transfer.variables.iter().zip(types);
    all.find(|(_, (kind, _))| is_wrong && items(kind).is_none()).map(|(carried, _)| carried)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Targets;

    fn texts(way: Way, single: bool) -> TransferTexts {
        transfer_texts(&transfer(way, false), &[("Vec<f64>".into(), true), ("[u8; 4]".into(), false)], single)
    }

    fn transfer(way: Way, gpu: bool) -> Transfer {
        let carried = |from: &str, to: &str, column| Carried { from: from.into(), to: to.into(), column };
        let variables = vec![carried("xs", "part", 10), carried("b", "b", 22)];
        Transfer { way, variables, targets: Targets::all(), gpu, line: 3 }
    }

    #[test]
    fn the_macro_stands_where_the_names_do() {
        let put = texts(Way::Push, false).put;
        assert_eq!(put.text, "let _ = { use px::put_variables as px;\n         px!(xs, b\n)};");
        assert_eq!(put.first_line, 2);
    }

    #[test]
    fn the_other_side_has_types() {
        let take = |way, single| texts(way, single).take.text.trim_end().to_owned();
        let pushed = "let mut part: Vec<f64> = px::take_variable!(0, Vec<f64>); let b: [u8; 4] = px::take_variable!(1, [u8; 4]);";
        assert_eq!(take(Way::Push, false), pushed);
        assert_eq!(take(Way::Pull, true), pushed);
        assert_eq!(
            take(Way::Pull, false),
            "let mut part: Vec<Vec<f64>> = px::take_variables!(0, Vec<f64>); \
             let b: Vec<[u8; 4]> = px::take_variables!(1, [u8; 4]);"
        );
        assert_eq!(
            take(Way::Gather, false),
            "let mut part: Vec<f64> = px::data::take_items(0, |it: Vec<f64>| px::data::item_of(&it)); \
             let b: Vec<_> = px::data::take_items(1, |it: [u8; 4]| px::data::item_of(&it));"
        );
    }

    #[test]
    fn what_goes_to_gpus_comes_back_as_a_vec() {
        let types = [("Vec<f64>".to_owned(), false), ("Vec<u8>".to_owned(), false)];
        let taken = |way, types: &[(String, bool)], gpu| {
            transfer_texts(&transfer(way, gpu), types, true).take.text.trim_end().to_owned()
        };
        assert_eq!(
            taken(Way::Push, &types, true),
            "let part: px::GpuVec<f64> = px::data::to_gpu(px::take_variable!(0, Vec<f64>)); \
             let b: px::GpuVec<u8> = px::data::to_gpu(px::take_variable!(1, Vec<u8>));"
        );
        let there = types.clone().map(|(kind, mutable)| (format!("px::Gpu{kind}"), mutable));
        assert_eq!(taken(Way::Pull, &there, false), taken(Way::Pull, &types, false));
        assert_eq!(not_for_gpus(&transfer(Way::Push, true), &types), None);
        let wrong = [types[0].clone(), ("[u8; 4]".to_owned(), false)];
        let push = transfer(Way::Push, true);
        assert_eq!(not_for_gpus(&push, &wrong).map(|carried| &*carried.from), Some("b"));
        assert_eq!(not_for_gpus(&transfer(Way::Scatter { round_robin: false }, true), &wrong), None);
    }
}
