//! The types that parameters may have, and how a value of each is written in Rust.

use super::value::Value;
use chorus_syntax::TypeShape;
use std::fmt;

/// A type that values can be written for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Char,
    /// `u8` to `i128`, by name.
    Int(&'static str),
    /// `f32` or `f64`.
    Float(&'static str),
    /// `&str`.
    Str,
    String,
    Path,
    /// serde_json's `Value`, which takes everything.
    Json,
    /// `()`.
    Unit,
    Vec(Box<Kind>),
    /// `&[T]`.
    Slice(Box<Kind>),
    Array(Box<Kind>, usize),
    Tuple(Vec<Kind>),
    Option(Box<Kind>),
    /// `HashMap` or `BTreeMap`, keys and values.
    Map(&'static str, Box<Kind>, Box<Kind>),
    /// `HashSet` or `BTreeSet`.
    Set(&'static str, Box<Kind>),
}

const INTS: [&str; 12] = ["u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize"];

type Written = Result<String, String>;

impl Kind {
    /// The kind of a type; `None` when it is none of ours.
    pub fn of(shape: &TypeShape) -> Option<Kind> {
        let boxed = |part: &TypeShape| Kind::of(part).map(Box::new);
        Some(match shape {
            TypeShape::Path(name, arguments) => match (name.as_str(), arguments.as_slice()) {
                ("bool", []) => Kind::Bool,
                ("char", []) => Kind::Char,
                ("f32", []) => Kind::Float("f32"),
                ("f64", []) => Kind::Float("f64"),
                ("String", []) => Kind::String,
                ("PathBuf", []) => Kind::Path,
                ("Value", []) => Kind::Json,
                ("Vec", [part]) => Kind::Vec(boxed(part)?),
                ("Option", [part]) => Kind::Option(boxed(part)?),
                ("HashMap", [key, value]) => Kind::Map("HashMap", boxed(key)?, boxed(value)?),
                ("BTreeMap", [key, value]) => Kind::Map("BTreeMap", boxed(key)?, boxed(value)?),
                ("HashSet", [part]) => Kind::Set("HashSet", boxed(part)?),
                ("BTreeSet", [part]) => Kind::Set("BTreeSet", boxed(part)?),
                (name, []) => Kind::Int(INTS.iter().find(|int| **int == name)?),
                _ => return None,
            },
            TypeShape::Reference(inner) => match inner.as_ref() {
                TypeShape::Path(name, arguments) if name == "str" && arguments.is_empty() => Kind::Str,
                TypeShape::Slice(part) => Kind::Slice(boxed(part)?),
                _ => return None,
            },
            TypeShape::Array(part, length) => Kind::Array(boxed(part)?, *length),
            TypeShape::Tuple(parts) if parts.is_empty() => Kind::Unit,
            TypeShape::Tuple(parts) => Kind::Tuple(parts.iter().map(Kind::of).collect::<Option<_>>()?),
            TypeShape::Slice(_) | TypeShape::Inferred | TypeShape::Other => return None,
        })
    }

    /// The type that a value has by itself: `i64`, `f64`, `bool`, `String`, and `Vec`s, `Option`s and maps of these.
    pub fn natural(value: &Value) -> Result<Kind, String> {
        Ok(Kind::natural_or_none(value)?.unwrap_or(Kind::Option(Box::new(Kind::Unit))))
    }

    /// `None` is the kind of what can be of any.
    fn natural_or_none(value: &Value) -> Result<Option<Kind>, String> {
        let common = |values: &mut dyn Iterator<Item = &Value>| -> Result<Box<Kind>, String> {
            let (mut kind, mut optional) = (None, false);
            for value in values {
                match (Kind::natural_or_none(value)?, kind.take()) {
                    (None, before) => (kind, optional) = (before, true),
                    (found, None) => kind = found,
                    (Some(found), Some(before)) => kind = Some(before.common(found)?),
                }
            }
            let kind = kind.unwrap_or(Kind::Unit);
            Ok(Box::new(if optional { Kind::Option(Box::new(kind)) } else { kind }))
        };
        Ok(match value {
            Value::Null => None,
            Value::Bool(_) => Some(Kind::Bool),
            Value::Int(value) => Some(Kind::Int(if i64::try_from(*value).is_ok() { "i64" } else { "i128" })),
            Value::Float(_) => Some(Kind::Float("f64")),
            Value::Text(_) | Value::Word(_) => Some(Kind::String),
            Value::List(values) => Some(Kind::Vec(common(&mut values.iter())?)),
            Value::Map(entries) => {
                let values = common(&mut entries.iter().map(|(_, value)| value))?;
                Some(Kind::Map("BTreeMap", Box::new(Kind::String), values))
            }
        })
    }

    /// The kind of a list that has values of both.
    fn common(self, other: Kind) -> Result<Kind, String> {
        match (self, other) {
            (one, other) if one == other => Ok(one),
            (Kind::Int(_), Kind::Int(_)) => Ok(Kind::Int("i128")),
            (Kind::Int(_), float @ Kind::Float(_)) | (float @ Kind::Float(_), Kind::Int(_)) => Ok(float),
            (Kind::Unit, other) | (other, Kind::Unit) => Ok(other),
            (Kind::Option(one), Kind::Option(other)) => Ok(Kind::Option(Box::new(one.common(*other)?))),
            (Kind::Option(one), other) | (other, Kind::Option(one)) => Ok(Kind::Option(Box::new(one.common(other)?))),
            (Kind::Vec(one), Kind::Vec(other)) => Ok(Kind::Vec(Box::new(one.common(*other)?))),
            (Kind::Map(name, key, one), Kind::Map(_, _, other)) => {
                Ok(Kind::Map(name, key, Box::new(one.common(*other)?)))
            }
            (one, other) => Err(format!("a list or map of both `{one}` and `{other}` has no type of its own")),
        }
    }

    /// The value in Rust, for where this type is expected; or why it isn't one of this type.
    pub fn write(&self, value: &Value) -> Written {
        let read;
        let value = match value {
            Value::Word(word) => {
                read = self.read(word)?;
                &read
            }
            value => value,
        };
        let wrong = |what: &str| Err(format!("{value} isn't {what}"));
        match (self, value) {
            (Kind::Option(_), Value::Null) => Ok("None".into()),
            (Kind::Option(inner), value) => Ok(format!("Some({})", inner.write(value)?)),
            (Kind::Json, value) => Ok(format!("serde_json::json!({})", json(value)?)),
            (Kind::Unit, Value::Null) => Ok("()".into()),
            (Kind::Bool, Value::Bool(value)) => Ok(value.to_string()),
            (Kind::Bool, _) => wrong("true or false"),
            (Kind::Int(name), Value::Int(number)) => whole(name, &number.to_string()),
            // JSON has no number so large.
            (Kind::Int(name @ ("u128" | "i128")), Value::Text(digits)) => whole(name, digits),
            (Kind::Int(_), _) => wrong("a whole number"),
            (Kind::Float(name), Value::Int(number)) => float(name, *number as f64),
            (Kind::Float(name), Value::Float(number)) => float(name, *number),
            // Nor has it a number that isn't finite.
            (Kind::Float(name), Value::Text(text)) => match text.parse::<f64>() {
                Ok(number) if !number.is_finite() => float(name, number),
                _ => wrong("a number"),
            },
            (Kind::Float(_), _) => wrong("a number"),
            (Kind::Str, Value::Text(text)) => Ok(format!("{text:?}")),
            (Kind::String, Value::Text(text)) => Ok(format!("String::from({text:?})")),
            (Kind::Path, Value::Text(text)) => Ok(format!("std::path::PathBuf::from({text:?})")),
            (Kind::Char, Value::Text(text)) if text.chars().count() == 1 => Ok(format!("'{}'", escaped(text))),
            (Kind::Char, _) => wrong("one character"),
            (Kind::Str | Kind::String | Kind::Path, _) => wrong("text"),
            (Kind::Vec(part), Value::List(values)) => Ok(format!("vec![{}]", part.each(values)?)),
            (Kind::Slice(part), Value::List(values)) => Ok(format!("&[{}]", part.each(values)?)),
            (Kind::Array(part, length), Value::List(values)) if values.len() == *length => {
                Ok(format!("[{}]", part.each(values)?))
            }
            (Kind::Array(_, length), _) => wrong(&format!("a list of {length}")),
            (Kind::Tuple(parts), Value::List(values)) if values.len() == parts.len() => {
                let written: Result<Vec<_>, _> =
                    parts.iter().zip(values).map(|(part, value)| part.write(value)).collect();
                Ok(format!("({}{})", written?.join(", "), if parts.len() == 1 { "," } else { "" }))
            }
            (Kind::Tuple(parts), _) => wrong(&format!("a list of {}", parts.len())),
            (Kind::Set(name, part), Value::List(values)) => {
                Ok(format!("std::collections::{name}::from([{}])", part.each(values)?))
            }
            (Kind::Map(name, key, part), Value::Map(entries)) => {
                let entry = |(name, value): &(String, Value)| -> Written {
                    Ok(format!("({}, {})", key.write(&Value::Word(name.clone()))?, part.write(value)?))
                };
                let written: Result<Vec<_>, _> = entries.iter().map(entry).collect();
                Ok(format!("std::collections::{name}::from([{}])", written?.join(", ")))
            }
            (Kind::Vec(_) | Kind::Slice(_) | Kind::Set(..), _) => wrong("a list"),
            (Kind::Map(..), _) => wrong("a map"),
            (Kind::Unit, _) => wrong("null"),
        }
    }

    fn each(&self, values: &[Value]) -> Written {
        let written: Result<Vec<_>, _> = values.iter().map(|value| self.write(value)).collect();
        Ok(written?.join(", "))
    }

    /// What a word of the command line is, where this type is wanted.
    fn read(&self, word: &str) -> Result<Value, String> {
        let json = || serde_json::from_str::<Value>(word).map_err(|error| format!("{word} isn't JSON ({error})"));
        Ok(match self {
            Kind::Str | Kind::String | Kind::Path | Kind::Char => Value::Text(word.to_owned()),
            Kind::Option(_) | Kind::Unit if matches!(word, "null" | "None") => Value::Null,
            Kind::Option(inner) => inner.read(word)?,
            Kind::Bool => match word {
                "true" | "True" => Value::Bool(true),
                "false" | "False" => Value::Bool(false),
                _ => Value::Word(word.to_owned()),
            },
            Kind::Int(_) => match word.replace('_', "").parse() {
                Ok(number) => Value::Int(number),
                Err(_) if !word.is_empty() && word.chars().all(|digit| digit.is_ascii_digit()) => {
                    Value::Text(word.into())
                }
                Err(_) => Value::Word(word.to_owned()),
            },
            Kind::Float(_) => match word.replace('_', "").parse() {
                Ok(number) => Value::Float(number),
                Err(_) => Value::Word(word.to_owned()),
            },
            Kind::Json => json().unwrap_or_else(|_| Value::Text(word.to_owned())),
            _ => json()?,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Bool => f.write_str("bool"),
            Kind::Char => f.write_str("char"),
            Kind::Int(name) | Kind::Float(name) => f.write_str(name),
            Kind::Str => f.write_str("&'static str"),
            Kind::String => f.write_str("String"),
            Kind::Path => f.write_str("std::path::PathBuf"),
            Kind::Json => f.write_str("serde_json::Value"),
            Kind::Unit => f.write_str("()"),
            Kind::Vec(part) => write!(f, "Vec<{part}>"),
            Kind::Slice(part) => write!(f, "&'static [{part}]"),
            Kind::Array(part, length) => write!(f, "[{part}; {length}]"),
            Kind::Tuple(parts) => {
                f.write_str("(")?;
                parts.iter().try_for_each(|part| write!(f, "{part}, "))?;
                f.write_str(")")
            }
            Kind::Option(part) => write!(f, "Option<{part}>"),
            Kind::Map(name, key, value) => write!(f, "std::collections::{name}<{key}, {value}>"),
            Kind::Set(name, part) => write!(f, "std::collections::{name}<{part}>"),
        }
    }
}

/// A whole number, if the type has it.
fn whole(name: &str, digits: &str) -> Written {
    fn check<T: std::str::FromStr>(digits: &str, least: impl fmt::Display, most: impl fmt::Display) -> Written {
        match digits.parse::<T>() {
            Ok(_) => Ok(digits.to_owned()),
            Err(_) => Err(format!("{digits} isn't between {least} and {most}")),
        }
    }
    macro_rules! by_name {
        ($($int:ident)*) => {
            match name {
                $(stringify!($int) => check::<$int>(digits, $int::MIN, $int::MAX),)*
                _ => Err(format!("{name} isn't a number's type")),
            }
        };
    }
    by_name!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize)
}

fn float(name: &str, number: f64) -> Written {
    if number.is_nan() {
        return Ok(format!("{name}::NAN"));
    }
    if number.is_infinite() {
        return Ok(format!("{name}::{}INFINITY", if number < 0.0 { "NEG_" } else { "" }));
    }
    // The shortest text that is this number, in its own precision.
    match (name, number as f32) {
        ("f32", rounded) if rounded.is_finite() => Ok(format!("{rounded:?}")),
        ("f32", _) => Err(format!("{number:?} is beyond the largest number of this type")),
        _ => Ok(format!("{number:?}")),
    }
}

/// A character as it stands between single quotes.
fn escaped(text: &str) -> String {
    text.chars().flat_map(char::escape_debug).collect()
}

/// What `serde_json::json!` takes.
fn json(value: &Value) -> Written {
    Ok(match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Int(number) => match (i64::try_from(*number), u64::try_from(*number)) {
            (Ok(number), _) => format!("{number}i64"),
            (_, Ok(number)) => format!("{number}u64"),
            _ => return Err(format!("{number} is larger than JSON's numbers")),
        },
        Value::Float(number) if number.is_finite() => format!("{number:?}f64"),
        Value::Float(number) => return Err(format!("{number} isn't a number of JSON")),
        Value::Text(text) | Value::Word(text) => format!("{text:?}"),
        Value::List(values) => {
            let written: Result<Vec<_>, _> = values.iter().map(json).collect();
            format!("[{}]", written?.join(", "))
        }
        Value::Map(entries) => {
            let entry = |(name, value): &(String, Value)| -> Written { Ok(format!("{name:?}: {}", json(value)?)) };
            let written: Result<Vec<_>, _> = entries.iter().map(entry).collect();
            format!("{{{}}}", written?.join(", "))
        }
    })
}
