//! Which engines a magic means: `0,2`, `0-3`, `1:3`, `-1`, `all`.

use chorus_protocol::{EngineId, fold_ids, name_engines};
use std::fmt;
use std::str::FromStr;

/// A choice of engines, as written after `-t`. It is resolved only when the cell runs, against the engines that the
/// cluster then has.
#[derive(Clone, Debug, Eq)]
pub struct Targets {
    items: Vec<Item>,
    /// The magic that made them the default; `None` where they were written, or nobody has chosen.
    set_by: Option<&'static str>,
}

/// Who chose them makes no difference.
impl PartialEq for Targets {
    fn eq(&self, other: &Targets) -> bool {
        self.items == other.items
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    All,
    /// An engine's id, or, when negative, a place counted from the last engine.
    One(i64),
    /// The engines from one id to another, as all outputs write them: `0-3`.
    Range(u32, u32),
    /// A Python slice over the engines in ascending order.
    Slice {
        start: Option<i64>,
        stop: Option<i64>,
        step: i64,
    },
}

/// Why targets can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It isn't in the language of targets.
    #[error("`{0}` names no engines: write `1`, `0,2`, `0-3`, `1:3`, `::2`, `-1` for the last, or `all`")]
    Syntax(String),
    /// A slice with step 0.
    #[error("the step of the slice `{0}` can't be 0")]
    Step(String),
    /// There is no engine at all.
    #[error("the cluster has no engines: `%cluster start` starts some")]
    NoEngines,
    /// An id that no engine has.
    #[error("there is no engine {id}: the cluster has {}", name_engines(.known))]
    Unknown {
        /// The id.
        id: i64,
        /// The engines there are.
        known: Vec<EngineId>,
    },
    /// It chooses none of the engines there are.
    #[error("the targets `{targets}` choose none of the engines {}", fold_ids(.known))]
    Empty {
        /// As written.
        targets: String,
        /// The engines there are.
        known: Vec<EngineId>,
    },
    /// The same of targets that another magic has made the default.
    #[error("{error}; `-t {targets}` is the default that `{set_by}` has set, and `-t all` is every engine")]
    Default {
        /// As written there.
        targets: String,
        /// That magic.
        set_by: &'static str,
        /// What is wrong.
        error: Box<TargetError>,
    },
}

impl From<Vec<Item>> for Targets {
    fn from(items: Vec<Item>) -> Targets {
        Targets { items, set_by: None }
    }
}

impl Targets {
    /// Every engine.
    pub fn all() -> Targets {
        vec![Item::All].into()
    }

    /// Exactly these engines.
    pub fn of(ids: &[EngineId]) -> Targets {
        ids.iter().map(|id| Item::One(id.0.into())).collect::<Vec<_>>().into()
    }

    /// The same as the default that this magic sets: errors name it.
    pub(crate) fn defaults_of(self, magic: &'static str) -> Targets {
        Targets { set_by: Some(magic), ..self }
    }

    /// Whether this names a single engine, whatever others there are.
    pub fn is_one(&self) -> bool {
        matches!(self.items[..], [Item::One(_)])
    }

    /// What `px::engines().on(..)` takes for these; `None` if they are all.
    pub(crate) fn in_rust(&self) -> Option<String> {
        let ids = "px::engines().ids()";
        let listed = |item: &Item| match item {
            Item::One(id) => u32::try_from(*id).ok().map(|id| vec![id]),
            // A longer one would be no list that anybody reads.
            Item::Range(first, last) if last - first < 8 => Some((*first..=*last).collect()),
            _ => None,
        };
        Some(match self.items[..] {
            _ if self.items.contains(&Item::All) => return None,
            [Item::One(-1)] => format!("{ids}.pop()"),
            [Item::Range(first, last)] => format!("{first}..={last}"),
            [Item::Slice { start, stop, step }]
                if step > 0 && start.unwrap_or(0) >= 0 && stop.is_none_or(|stop| stop >= start.unwrap_or(0)) =>
            {
                let from = start.unwrap_or(0);
                let steps = [
                    ("skip", start),
                    ("take", stop.map(|stop| stop - from)),
                    ("step_by", Some(step).filter(|step| *step > 1)),
                ];
                let steps = steps.into_iter().filter_map(|(name, n)| Some(format!(".{name}({})", n?)));
                format!("{ids}.into_iter(){}", steps.collect::<String>())
            }
            _ => {
                let lists: Option<Vec<Vec<u32>>> = self.items.iter().map(listed).collect();
                lists.map_or_else(|| "[..]".to_owned(), |lists| format!("{:?}", lists.concat()))
            }
        })
    }

    /// The engines meant, of those known: ascending, each once, at least one.
    pub fn resolve(&self, known: &[EngineId]) -> Result<Vec<EngineId>, TargetError> {
        let mut known = known.to_vec();
        known.sort_unstable();
        known.dedup();
        if known.is_empty() {
            return Err(TargetError::NoEngines);
        }
        self.choose(&known).map_err(|error| match self.set_by {
            Some(set_by) => TargetError::Default { targets: self.to_string(), set_by, error: Box::new(error) },
            None => error,
        })
    }

    fn choose(&self, known: &[EngineId]) -> Result<Vec<EngineId>, TargetError> {
        let mut chosen = Vec::new();
        for item in &self.items {
            match *item {
                Item::All => chosen.extend_from_slice(known),
                Item::One(id) => chosen.push(find(id, known)?),
                Item::Range(first, last) => {
                    // Some in between may be gone; a wrong end is a slip.
                    let (first, last) = (find(first.into(), known)?, find(last.into(), known)?);
                    chosen.extend(known.iter().filter(|engine| (first..=last).contains(*engine)));
                }
                Item::Slice { start, stop, step } => chosen.extend(slice(known, start, stop, step)),
            }
        }
        if chosen.is_empty() {
            return Err(TargetError::Empty { targets: self.to_string(), known: known.to_vec() });
        }
        chosen.sort_unstable();
        chosen.dedup();
        Ok(chosen)
    }
}

fn find(id: i64, known: &[EngineId]) -> Result<EngineId, TargetError> {
    let found = match usize::try_from(id) {
        Ok(id) => known.iter().find(|engine| engine.0 as usize == id),
        Err(_) => usize::try_from(id.unsigned_abs())
            .ok()
            .and_then(|back| known.len().checked_sub(back))
            .and_then(|place| known.get(place)),
    };
    found.copied().ok_or_else(|| TargetError::Unknown { id, known: known.to_vec() })
}

/// The elements of `known[start:stop:step]`, with Python's meaning of missing, negative and far too large bounds.
fn slice(known: &[EngineId], start: Option<i64>, stop: Option<i64>, step: i64) -> Vec<EngineId> {
    let len = i64::try_from(known.len()).unwrap_or(i64::MAX);
    // Backwards, the place before the first element is a possible end, and the last one the default start.
    let (lowest, highest) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let bound = |place: i64| if place < 0 { place.saturating_add(len) } else { place }.clamp(lowest, highest);
    let (first, end) = if step > 0 { (lowest, highest) } else { (highest, lowest) };
    let (mut place, stop) = (start.map_or(first, bound), stop.map_or(end, bound));
    let mut chosen = Vec::new();
    while if step > 0 { place < stop } else { place > stop } {
        chosen.extend(usize::try_from(place).ok().and_then(|place| known.get(place)));
        place = place.saturating_add(step);
    }
    chosen
}

impl FromStr for Targets {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Targets, TargetError> {
        let wrong = || TargetError::Syntax(text.to_owned());
        // ipyparallel reads a Python expression here, so its users may write a list.
        let inner = text.trim();
        let inner = inner.strip_prefix('[').and_then(|list| list.strip_suffix(']')).unwrap_or(inner);
        let mut items = Vec::new();
        for item in inner.split(',').map(str::trim) {
            if item == "all" {
                items.push(Item::All);
            } else if item.contains(':') {
                let bounds: Option<Vec<Option<i64>>> = item.split(':').map(bound).collect();
                let (start, stop, step) = match bounds.as_deref() {
                    Some(&[start, stop]) => (start, stop, 1),
                    Some(&[start, stop, step]) => (start, stop, step.unwrap_or(1)),
                    _ => return Err(wrong()),
                };
                if step == 0 {
                    return Err(TargetError::Step(item.to_owned()));
                }
                items.push(Item::Slice { start, stop, step });
            } else if let Some((first, last)) = range(item) {
                items.push(Item::Range(first, last));
            } else {
                items.push(Item::One(item.parse().map_err(|_| wrong())?));
            }
        }
        Ok(items.into())
    }
}

/// The ends of `0-3`.
fn range(text: &str) -> Option<(u32, u32)> {
    let (first, last) = text.split_once('-')?;
    let number = |text: &str| text.trim().parse().ok().filter(|_| !text.contains('+'));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

/// A bound of a slice: `None` for a wrong one, `Some(None)` for a missing one.
fn bound(text: &str) -> Option<Option<i64>> {
    match text.trim() {
        "" => Some(None),
        number => number.parse().ok().map(Some),
    }
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |place: &Option<i64>| place.map(|place| place.to_string()).unwrap_or_default();
        for (place, item) in self.items.iter().enumerate() {
            if place > 0 {
                f.write_str(",")?;
            }
            match item {
                Item::All => f.write_str("all")?,
                Item::One(id) => write!(f, "{id}")?,
                Item::Range(first, last) => write!(f, "{first}-{last}")?,
                Item::Slice { start, stop, step } => {
                    write!(f, "{}:{}", show(start), show(stop))?;
                    if *step != 1 {
                        write!(f, ":{step}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn resolve(text: &str, known: &[u32]) -> Result<Vec<u32>, String> {
        let known: Vec<_> = known.iter().copied().map(EngineId).collect();
        let targets: Targets = text.parse().map_err(|error: TargetError| error.to_string())?;
        let chosen = targets.resolve(&known).map_err(|error| error.to_string())?;
        Ok(chosen.into_iter().map(|id| id.0).collect())
    }

    #[test]
    fn what_rust_says_for_them() {
        let said = |text: &str| text.parse::<Targets>().unwrap().in_rust();
        let ids = "px::engines().ids()";
        for (text, rust) in [
            ("0,2", "[0, 2]".to_owned()),
            ("0-3", "0..=3".to_owned()),
            ("0-2,5", "[0, 1, 2, 5]".to_owned()),
            ("-1", format!("{ids}.pop()")),
            ("::2", format!("{ids}.into_iter().step_by(2)")),
            ("1:3", format!("{ids}.into_iter().skip(1).take(2)")),
            ("-3:", "[..]".to_owned()),
            ("3:1", "[..]".to_owned()),
            ("0-4000000000,7", "[..]".to_owned()),
        ] {
            assert_eq!(said(text), Some(rust), "{text}");
        }
        assert_eq!((said("all"), said("0,all")), (None, None));
    }

    #[test]
    fn every_form_chooses_as_python_does() {
        let four = [0, 1, 2, 3];
        for (text, chosen) in [
            ("1", vec![1]),
            ("0,2", vec![0, 2]),
            ("2, 0,2", vec![0, 2]),
            ("[0,2]", vec![0, 2]),
            ("::2", vec![0, 2]),
            ("1:3", vec![1, 2]),
            ("-1", vec![3]),
            ("-4", vec![0]),
            ("-2:", vec![2, 3]),
            (":-3", vec![0]),
            ("::-1", vec![0, 1, 2, 3]),
            ("2:0:-1", vec![1, 2]),
            (":", vec![0, 1, 2, 3]),
            ("1:100", vec![1, 2, 3]),
            ("-100:1", vec![0]),
            ("all", vec![0, 1, 2, 3]),
            ("all,1", vec![0, 1, 2, 3]),
            ("3,:2", vec![0, 1, 3]),
            ("1-2", vec![1, 2]),
            ("0-1,3", vec![0, 1, 3]),
            ("2 - 2", vec![2]),
        ] {
            assert_eq!(resolve(text, &four), Ok(chosen), "{text}");
        }
    }

    #[test]
    fn numbers_are_ids_and_slices_are_places() {
        assert_eq!(resolve("7", &[9, 7, 5]), Ok(vec![7]));
        assert_eq!(resolve("0:2", &[9, 7, 5]), Ok(vec![5, 7]));
        assert_eq!(resolve("-1", &[9, 7, 5]), Ok(vec![9]));
        assert_eq!(resolve("5-9", &[9, 7, 5]), Ok(vec![5, 7, 9]));
    }

    #[test]
    fn what_cannot_be_chosen_is_named() {
        let message = |text| resolve(text, &[0, 1, 2, 5]).unwrap_err();
        assert_eq!(message("4"), "there is no engine 4: the cluster has engines 0-2,5");
        assert_eq!(message("-5"), "there is no engine -5: the cluster has engines 0-2,5");
        assert_eq!(message("1-4"), "there is no engine 4: the cluster has engines 0-2,5");
        assert_eq!(message("9:"), "the targets `9:` choose none of the engines 0-2,5");
        assert_eq!(resolve("all", &[]).unwrap_err(), "the cluster has no engines: `%cluster start` starts some");
        assert_eq!(message("::0"), "the step of the slice `::0` can't be 0");
        for text in ["", "x", "1,", "1:2:3:4", "1:b", "99999999999999999999", "3-0", "1--2", "1-2-3"] {
            assert!(message(text).contains(&format!("`{text}` names no engines")), "{text}");
        }
    }

    /// Python's `range(*slice(start, stop, step).indices(len))`, in the words of its documentation.
    fn python(len: i64, start: Option<i64>, stop: Option<i64>, step: i64) -> Vec<u32> {
        let (lower, upper) = if step < 0 { (-1, len - 1) } else { (0, len) };
        let fix = |given: Option<i64>, missing: i64| match given {
            None => missing,
            Some(place) if place < 0 => (place + len).max(lower),
            Some(place) => place.min(upper),
        };
        let start = fix(start, if step < 0 { upper } else { lower });
        let stop = fix(stop, if step < 0 { lower } else { upper });
        let inside = |place: i64| if step < 0 { place > stop } else { place < stop };
        let mut all: Vec<u32> = (0..)
            .map(|n| start + n * step)
            .take_while(|place| inside(*place))
            .map(|place| u32::try_from(place).unwrap())
            .collect();
        all.sort_unstable();
        all
    }

    proptest! {
        #[test]
        fn slices_are_pythons(
            len in 1..9u32,
            start in proptest::option::of(-12..12i64),
            stop in proptest::option::of(-12..12i64),
            step in prop_oneof![-4..0i64, 1..4i64],
        ) {
            let known: Vec<u32> = (0..len).collect();
            let targets = Targets::from(vec![Item::Slice { start, stop, step }]);
            let expected = python(len.into(), start, stop, step);
            prop_assert_eq!(resolve(&targets.to_string(), &known).unwrap_or_default(), expected);
        }

        #[test]
        fn what_is_shown_is_read_back(text in "(all|-?[0-9]{1,3}|[0-9]-[0-9]|-?[0-9]?:-?[1-9]?:?)(,(all|[0-9]|:[0-9]))?") {
            if let Ok(targets) = text.parse::<Targets>() {
                prop_assert_eq!(targets.to_string().parse(), Ok(targets));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text: String, known: Vec<u32>) {
            let known: Vec<_> = known.into_iter().map(EngineId).collect();
            if let Ok(targets) = text.parse::<Targets>() {
                let _ = targets.resolve(&known);
            }
        }
    }
}
