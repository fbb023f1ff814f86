//! What `%%html` and its like show.

/// The body of a cell, as a front end shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown<'a> {
    /// What it is.
    pub mime: &'static str,
    /// The body.
    pub text: &'a str,
}
