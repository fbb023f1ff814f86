//! What evcxr says of a text that it refuses, in a form that goes from process to process.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// Why evcxr did nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Error {
    /// rustc's, or what evcxr says in rustc's form.
    Complaints(Vec<Complaint>),
    /// evcxr's own.
    Message(String),
    /// The compiler's process is gone.
    Gone(String),
}

/// One error, warning or piece of advice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Complaint {
    /// `error`, `warning`, or what rustc calls its advice.
    pub level: String,
    pub code: Option<String>,
    pub message: String,
    /// rustc's long text about the code.
    pub explanation: Option<String>,
    pub remarks: Vec<Remark>,
    pub of_user: bool,
    /// All that rustc says, about the generated source.
    #[serde(with = "as_text")]
    pub json: Value,
}

/// What is said of one place, or of none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remark {
    pub span: Option<Range>,
    pub label: String,
    pub primary: bool,
}

/// A place in the text that evcxr was given: lines and columns, 1-based; columns count characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Range {
    pub start_line: usize,
    pub start_column: usize,
    pub end_line: usize,
    pub end_column: usize,
}

impl Complaint {
    /// rustc's own text, in colours.
    pub fn rendered(&self) -> &str {
        self.json["rendered"].as_str().unwrap_or_default()
    }

    /// The lines of the generated source where rustc sees it, 1-based.
    pub fn lines(&self) -> impl Iterator<Item = usize> {
        let spans = self.json["spans"].as_array().into_iter().flatten();
        spans.filter_map(|span| usize::try_from(span["line_start"].as_u64()?).ok())
    }
}

/// JSON isn't described by its type, as what goes from process to process otherwise is.
mod as_text {
    use super::Value;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(json: &Value, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(json)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Value, D::Error> {
        serde_json::from_str(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

impl Error {
    /// What rustc says; nothing if it wasn't asked.
    pub fn complaints(&self) -> &[Complaint] {
        match self {
            Error::Complaints(complaints) => complaints,
            _ => &[],
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Complaints(complaints) => {
                complaints.iter().try_for_each(|complaint| f.write_str(&complaint.message))
            }
            Error::Message(text) | Error::Gone(text) => f.write_str(text),
        }
    }
}

impl From<evcxr::Error> for Error {
    fn from(error: evcxr::Error) -> Error {
        match error {
            evcxr::Error::CompilationErrors(errors) => Error::Complaints(errors.iter().map(Complaint::from).collect()),
            other => {
                let text = other.to_string();
                Error::Message(unparsed(&text).map(str::to_owned).unwrap_or(text))
            }
        }
    }
}

/// What was written in the place of errors in rustc's form, if that is what evcxr says.
pub(crate) fn unparsed(error: &str) -> Option<&str> {
    let written = error.strip_prefix("Compilation failed, but no parsable errors were found. STDERR:\n")?;
    Some(written.rsplit_once("\nSTDOUT:").map_or(written, |(stderr, _)| stderr).trim())
}

impl From<&str> for Error {
    fn from(text: &str) -> Error {
        Error::Message(text.to_owned())
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        Error::Message(error.to_string())
    }
}

impl From<&evcxr::CompilationError> for Complaint {
    fn from(error: &evcxr::CompilationError) -> Complaint {
        let remarks = error.spanned_messages().iter().map(|message| {
            let span = message.span.map(|span| Range {
                start_line: span.start_line,
                start_column: span.start_column,
                end_line: span.end_line,
                end_column: span.end_column,
            });
            Remark { span, label: message.label.clone(), primary: message.is_primary }
        });
        Complaint {
            level: error.level().to_owned(),
            code: error.code().map(str::to_owned),
            message: error.message(),
            explanation: error.explanation().map(str::to_owned),
            remarks: remarks.collect(),
            of_user: error.is_from_user_code(),
            json: error.json.clone(),
        }
    }
}
