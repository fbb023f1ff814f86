//! Engines as people write them: sets, `0-3,7`, and labels.

use crate::EngineId;

/// Writes engines as ascending ranges, `0-3,7`. Order and duplicates of the input don't matter.
pub fn fold_ids(ids: &[EngineId]) -> String {
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut text = String::new();
    for run in sorted.chunk_by(|a, b| a.0.checked_add(1) == Some(b.0)) {
        let [first, .., last] = run else {
            push_item(&mut text, &run.iter().map(EngineId::to_string).collect::<String>());
            continue;
        };
        push_item(&mut text, &format!("{first}-{last}"));
    }
    text
}

fn push_item(text: &mut String, item: &str) {
    if !text.is_empty() {
        text.push(',');
    }
    text.push_str(item);
}

/// Reads an engine's label: a word.
pub fn read_label(text: &str) -> Result<String, String> {
    const LONGEST: usize = 40;
    let is_word = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
    match is_word && (1..=LONGEST).contains(&text.chars().count()) {
        true => Ok(text.to_owned()),
        false => Err(format!("write a word of at most {LONGEST} letters, digits, `-`, `_` and `.`, such as big")),
    }
}

/// Reads what [`fold_ids`] writes; `None` for anything else, and for ranges that no cluster could hold.
pub fn parse_ids(text: &str) -> Option<Vec<EngineId>> {
    const MOST: usize = 1 << 20;
    let mut ids = Vec::new();
    if text.is_empty() {
        return Some(ids);
    }
    for item in text.split(',') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || ids.len() + (last - first) as usize >= MOST {
            return None;
        }
        ids.extend((first..=last).map(EngineId));
    }
    Some(ids)
}

/// `engine 2`, or `engines 0-3,7`.
pub fn name_engines(ids: &[EngineId]) -> String {
    format!("{} {}", noun(ids.len() as u64, "engine"), fold_ids(ids))
}

/// `1 engine`, `2 engines`.
pub fn count(number: u64, what: &str) -> String {
    format!("{number} {}", noun(number, what))
}

/// What so many of these are called: `engine` or `engines`.
pub fn noun(number: u64, what: &str) -> String {
    format!("{what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_is_not_many() {
        assert_eq!([0, 1, 2].map(|number| count(number, "map")), ["0 maps", "1 map", "2 maps"]);
    }

    fn ids(ids: &[u32]) -> Vec<EngineId> {
        ids.iter().copied().map(EngineId).collect()
    }

    #[test]
    fn a_label_is_a_word() {
        assert_eq!(read_label("big-2.x_ä"), Ok("big-2.x_ä".to_owned()));
        for wrong in ["", "a b", "a\n", "\x1b[1m", &"a".repeat(41)] {
            assert!(read_label(wrong).is_err_and(|why| why.contains("such as big")), "{wrong}");
        }
    }

    #[test]
    fn neighbours_fold_to_ranges() {
        assert_eq!(fold_ids(&[]), "");
        assert_eq!(fold_ids(&ids(&[5])), "5");
        assert_eq!(fold_ids(&ids(&[0, 1])), "0-1");
        assert_eq!(fold_ids(&ids(&[7, 3, 2, 1, 0, 1])), "0-3,7");
        assert_eq!(fold_ids(&ids(&[u32::MAX, 0, u32::MAX - 1])), "0,4294967294-4294967295");
        assert_eq!(name_engines(&ids(&[2])), "engine 2");
        assert_eq!(name_engines(&ids(&[2, 3])), "engines 2-3");
    }

    #[test]
    fn rubbish_is_refused() {
        for text in ["a", "1-", "-1", "3-1", "1,,2", "1-2-3", "0-4294967295", " 1"] {
            assert_eq!(parse_ids(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_folded_comes_back(set in proptest::collection::btree_set(0..200u32, 0..60)) {
            let ids: Vec<_> = set.into_iter().map(EngineId).collect();
            prop_assert_eq!(parse_ids(&fold_ids(&ids)), Some(ids));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9,-]{0,12}") {
            let _ = parse_ids(&text);
        }
    }
}
