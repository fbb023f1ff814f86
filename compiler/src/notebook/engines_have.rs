//! Which engines have a variable, and of which type: so that a function that all of some engines are to call for it is called
//! on none where one of them couldn't.

use chorus_protocol::{EngineId, name_engines};
use std::collections::{BTreeMap, BTreeSet};

/// Types of variables by the variables' names and their engines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnginesHave {
    /// Of which this is known.
    pub(crate) engines: BTreeSet<EngineId>,
    pub(crate) types: BTreeMap<String, BTreeMap<EngineId, String>>,
}

/// Why a variable isn't on each of some engines as the others have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlike {
    /// ``not all engines have a variable `part` ``
    pub what: String,
    /// `engine 2 has none`
    pub who: String,
    /// Those that lack it.
    pub lacking: Vec<EngineId>,
    /// The largest group that has it as one type.
    pub alike: Vec<EngineId>,
}

impl EnginesHave {
    /// What is wrong with this variable on these engines, as far as that is known.
    pub fn unlike(&self, name: &str, among: impl IntoIterator<Item = EngineId>) -> Option<Unlike> {
        let theirs = self.types.get(name)?;
        let mut by_type: BTreeMap<String, (&str, Vec<EngineId>)> = BTreeMap::new();
        let mut lacking = Vec::new();
        for engine in among.into_iter().filter(|engine| self.engines.contains(engine)) {
            match theirs.get(&engine) {
                Some(written) => by_type.entry(bare(written)).or_insert((written, Vec::new())).1.push(engine),
                None => lacking.push(engine),
            }
        }
        let are_known = by_type.values().all(|(written, _)| is_of_std(written));
        let what = match (lacking.is_empty(), by_type.len()) {
            (true, 0 | 1) => return None,
            // Who knows what an alias stands for? The engines do.
            (true, _) if !are_known => return None,
            (true, _) => format!("the engines' variables `{name}` are of different types"),
            (false, _) => format!("not all engines have a variable `{name}`"),
        };
        let types = by_type.values().map(|(written, engines)| format!("`{written}` on {}", name_engines(engines)));
        let who = match lacking.len() {
            0 => types.collect::<Vec<_>>().join(", "),
            1 => format!("{} has none", name_engines(&lacking)),
            _ => format!("{} have none", name_engines(&lacking)),
        };
        let alike = by_type.into_values().map(|(_, engines)| engines).max_by_key(Vec::len).unwrap_or_default();
        Some(Unlike { what, who, lacking, alike })
    }
}

impl Unlike {
    /// What can be done about it, in Rust.
    pub fn help(&self) -> Option<String> {
        let ids: Vec<String> = self.alike.iter().map(|id| id.0.to_string()).collect();
        let picked = || format!("`px::engines().on([{}])` names engines that have it, of one type", ids.join(", "));
        (!ids.is_empty()).then(picked)
    }
}

/// A type without the paths of its names: a variable that was pushed may be of `std::collections::HashMap<..>`, and one
/// that a cell made of `HashMap<..>`. Others of one name are told apart by the engine.
fn bare(type_name: &str) -> String {
    let words = type_name.split_inclusive(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    let bare: String = words.map(|word| word.rsplit("::").next().unwrap_or(word)).collect();
    bare.replace("'static ", "").replace(' ', "")
}

/// Whether a type is written in names that mean one thing each: of numbers, of text, and of std's collections.
fn is_of_std(type_name: &str) -> bool {
    const NAMES: [&str; 28] = [
        "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32", "f64", "bool",
        "char", "str", "String", "Vec", "VecDeque", "Option", "HashMap", "HashSet", "BTreeMap", "BTreeSet", "Mutex",
        "Arc", "Duration",
    ];
    let bare = bare(type_name);
    let mut words = bare.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
    words.all(|word| NAMES.contains(&word) || word.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_some_lack_or_have_otherwise_is_told() {
        let engines = || (0..4).map(EngineId);
        let vec = "Vec<f64>".to_owned();
        let types = |of: &[(u32, &str)]| of.iter().map(|(id, name)| (EngineId(*id), (*name).to_owned())).collect();
        let have = EnginesHave {
            engines: engines().collect(),
            types: BTreeMap::from([
                ("all".to_owned(), engines().map(|id| (id, vec.clone())).collect()),
                ("some".to_owned(), types(&[(0, "u8"), (3, "u8")])),
                ("mixed".to_owned(), types(&[(0, "u8"), (1, "f32"), (2, "u8"), (3, "u8")])),
                ("none".to_owned(), BTreeMap::new()),
                ("alias".to_owned(), types(&[(0, "Meters"), (1, "f64"), (2, "f64"), (3, "[f64; N]")])),
                (
                    "paths".to_owned(),
                    types(&[
                        (0, "std::collections::HashMap<String, Box<dyn std::ops::Fn(&'static str) -> m::Own>>"),
                        (1, "HashMap<String, Box<dyn Fn(&str) -> Own>>"),
                        (2, "HashMap<String,Box<dyn Fn(&str)->Own>>"),
                        (3, "HashMap<std::string::String, std::boxed::Box<dyn Fn(&str) -> crate::m::Own>>"),
                    ]),
                ),
            ]),
        };
        let told = |name: &str| have.unlike(name, engines());
        for name in ["all", "unknown", "paths", "alias"] {
            assert_eq!(told(name), None, "{name}");
        }
        let some = told("some").unwrap();
        assert_eq!(
            (some.what.as_str(), some.who.as_str()),
            ("not all engines have a variable `some`", "engines 1-2 have none")
        );
        assert_eq!(some.help().unwrap(), "`px::engines().on([0, 3])` names engines that have it, of one type");
        let mixed = told("mixed").unwrap();
        assert_eq!(mixed.who, "`f32` on engine 1, `u8` on engines 0,2-3");
        assert_eq!(mixed.alike, [0, 2, 3].map(EngineId));
        assert_eq!(told("none").unwrap().help(), None);
        let among = |ids: &[u32]| have.unlike("some", ids.iter().copied().map(EngineId));
        assert_eq!((among(&[0, 3]), among(&[0, 7])), (None, None), "of engine 7 nothing is known");
        assert_eq!(among(&[3, 2]).unwrap().who, "engine 2 has none");
    }
}
