//! Calls rustc for a cell, and again where what a cell's source was changed to was in its way.

use crate::messages::{unkept, unused};
use crate::tools::arguments::source;
use crate::tools::rewrite;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs rustc on a cell's crate, and once more where the way in which a result is shown was in its way: our trait for it
/// may collide with one of the cell's, such as that of the crate evcxr_image, which goes before ours. Says what rustc says,
/// and returns it with the status that this program is to end with.
pub(crate) fn compile(args: &[OsString], rustc: impl Fn() -> Command) -> io::Result<(i32, String)> {
    match in_rounds(args, rustc) {
        // It said nothing of the source, so there is no other one to try.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok((1, String::new())),
        result => result,
    }
}

/// `Interrupted` if rustc was killed.
fn in_rounds(args: &[OsString], rustc: impl Fn() -> Command) -> io::Result<(i32, String)> {
    let run = |source: Option<(&Path, String)>| {
        if let Some((path, text)) = source {
            std::fs::write(path, text)?;
        }
        let output = rustc().stdout(Stdio::inherit()).output()?;
        if output.status.code().is_none() { Err(io::Error::from(io::ErrorKind::Interrupted)) } else { Ok(output) }
    };
    let all = |output: &Output| unused::split(&String::from_utf8_lossy(&output.stderr));
    let messages = |output: &Output| all(output).0;
    let rewritten = |by: &dyn Fn(&str) -> Option<String>| {
        let path = source(args)?;
        Some((path, by(&std::fs::read_to_string(path).ok()?)?))
    };
    let mut output = run(None)?;
    if !output.status.success()
        && let Some(source) =
            rewritten(&|source| crate::notebook::engine_vars::without_types(source, &messages(&output)))
    {
        output = run(Some(source))?;
    }
    if !output.status.success()
        && let Some(source) = rewritten(&|source| crate::tools::runtime::awaited(source, &messages(&output)))
    {
        output = run(Some(source))?;
    }
    if !output.status.success()
        && rewrite::is_collision(&messages(&output))
        && let Some(source) = rewritten(&rewrite::without_show)
    {
        let again = run(Some(source))?;
        output = if again.status.success() { again } else { output };
    }
    if !output.status.success()
        && let Some(source) = rewritten(&|source| rewrite::with_fallback(source, &messages(&output)))
    {
        output = run(Some(source))?;
    }
    if !output.status.success()
        && let Some(source) = rewritten(&|source| rewrite::without_last(source, &messages(&output)))
    {
        let again = run(Some(source))?;
        output = if again.status.success() { again } else { output };
    }
    if !output.status.success()
        && let Some(source) = rewritten(&|source| rewrite::with_any_error(source, &messages(&output)))
    {
        output = run(Some(source))?;
    }
    if !output.status.success()
        && let Some(source) = rewritten(&|source| rewrite::without_moved(source, &messages(&output)))
    {
        output = run(Some(source))?;
    }
    // A message is about one variable.
    while !output.status.success()
        && let Some(source) = rewritten(&|source| {
            let said = messages(&output);
            unkept::without_borrowing(source, &said).or_else(|| unkept::with_endings(source, &said))
        })
    {
        output = run(Some(source))?;
    }
    // Messages are to be about what the user wrote. And what only fails with shared statics (`#![forbid(unsafe_code)]`)
    // is to run, with statics of its own.
    let unmarked =
        |source: &str| Some(crate::notebook::identity::unmarked(source)).filter(|unmarked| unmarked != source);
    if !output.status.success()
        && let Some(marked) = rewritten(&|source| Some(source.to_owned()))
        && let Some(source) = rewritten(&unmarked)
    {
        output = run(Some(source))?;
        if output.status.success() && crate::notebook::identity::unmoved(&marked.1) != marked.1 {
            // An object with types in their old places would take old values for new ones.
            output = run(Some((marked.0, crate::notebook::statics::unmarked(&marked.1))))?;
            if !output.status.success() {
                output = run(Some((marked.0, crate::notebook::identity::refused(&marked.1))))?;
            }
        }
    }
    if output.status.success()
        && let Some((path, noted)) = rewritten(&|source| unused::noted(source, &all(&output).1))
    {
        std::fs::write(path, noted)?;
    }
    let said = match output.status.success() {
        true => messages(&output),
        false => unkept::reworded(&messages(&output)),
    };
    io::stderr().write_all(said.as_bytes())?;
    Ok((output.status.code().unwrap_or(1), said))
}
