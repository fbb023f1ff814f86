//! Magics that notebooks are used to: `%%html` and its like, `%%capture`, `%cd`, `%env`, `%reset`, `%history`.

use super::{Done, Executor, Next, Request};
use crate::failure::{Failure, Kind, failure};
use crate::local::Input;
use crate::surroundings::Surroundings;
use chorus_magics::rust::Text;
use chorus_magics::{Capture, Env, Folder, History, Shown};
use chorus_render::{Bundle, plain_bundle};
use parking_lot::Mutex;
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// What the body of a cell is shown as. Where front ends can't show it, that of some is its own text.
pub(super) fn shown(Shown { mime, text }: Shown<'_>) -> Bundle {
    let mut data = match mime {
        "text/markdown" | "text/latex" => plain_bundle(text),
        _ => Bundle::new(),
    };
    data.insert(mime.to_owned(), Value::String(text.to_owned()));
    data
}

impl Executor {
    pub(super) async fn capture(&mut self, capture: Capture<'_>, request: &Request) -> Done {
        let (publisher, kept) = request.publisher.capturing();
        let inner = Request {
            publisher,
            code: Arc::clone(&request.code),
            front_end: request.front_end.clone(),
            interrupted: request.interrupted.clone(),
            preparing: Mutex::new(request.preparing.lock().take()),
        };
        let done = Box::pin(self.run_parts(capture.parts, &inner)).await;
        *request.preparing.lock() = inner.preparing.lock().take();
        let kept = std::mem::take(&mut *kept.lock());
        if done.is_err() {
            // They say more of it than the error does.
            request.publisher.release(kept).await;
            return done;
        }
        if let Some(cut) = kept.cut() {
            request.publisher.warn(&cut).await;
        }
        if let (Some(name), Ok(Next::Continue)) = (capture.out, &done) {
            let text = format!("let {name}: ::px::Captured = ::px::everyday::captured();");
            self.here(Text::of_line(text, capture.line), kept.encoded(), request).await?;
        }
        done
    }

    pub(super) async fn folder(&mut self, folder: Folder, request: &Request) -> Result<(), Failure> {
        let surroundings = self.surroundings().await;
        let here = std::fs::canonicalize(surroundings.folder.as_deref().unwrap_or(Path::new(".")));
        let Folder::Change(to) = folder else {
            let real = here.map_err(|error| failure(Kind::FileError, format!("the folder is gone: {error}")))?;
            request.publisher.say(&real.display().to_string()).await;
            return Ok(());
        };
        let to = to.as_deref().unwrap_or("~");
        let path = match to {
            "-" => self.folder_before.clone().ok_or_else(|| {
                failure(Kind::FileError, "there is no folder to go back to: `%cd` hasn't left one yet")
            })?,
            to => surroundings.path(to),
        };
        let to = if to == "-" { &*path.to_string_lossy() } else { to };
        let real = match tokio::fs::canonicalize(&path).await {
            Ok(real) if real.is_dir() => real,
            Ok(_) => return Err(failure(Kind::FileError, format!("`{to}` is no folder"))),
            Err(error) => return Err(failure(Kind::FileError, format!("there is no folder `{to}`: {error}"))),
        };
        let text = Text::of_line("::px::everyday::change_folder();".to_owned(), 1);
        self.here(text, real.as_os_str().as_bytes().to_vec(), request).await?;
        self.folder_before = here.ok();
        request.publisher.say(&real.display().to_string()).await;
        Ok(())
    }

    pub(super) async fn env(&mut self, env: Env, request: &Request) -> Result<(), Failure> {
        let surroundings = self.surroundings().await;
        let publisher = &request.publisher;
        match env {
            Env::List => publisher.stream("stdout", &listed(surroundings)).await,
            Env::Show(name) => match surroundings.var(&name) {
                Some(value) => publisher.say(&value.to_string_lossy()).await,
                None => {
                    let what = format!("the environment has no variable `{name}`; `%env {name}=VALUE` sets one");
                    return Err(failure(Kind::NoResult, what));
                }
            },
            Env::Set(name, value) => {
                let text = Text::of_line("::px::everyday::change_environment();".to_owned(), 1);
                self.here(text, format!("{name}={value}").into_bytes(), request).await?;
                publisher.say(&format!("{name}={value}")).await;
            }
        }
        Ok(())
    }

    pub(super) async fn reset(&mut self, force: bool, request: &Request) -> Done {
        if !force {
            let mut interrupted = request.interrupted.clone();
            let question = "Forget all variables and definitions, here and on the engines? (y/n) ";
            let answer = tokio::select! {
                answer = request.front_end.ask(question, false) => answer,
                () = interrupted.next() => return Err(failure(Kind::Interrupted, "the cell was interrupted; nothing is forgotten")),
            };
            let Some(answer) = answer else {
                let what = "this front end can't ask whether to forget everything; `%reset -f` doesn't ask";
                return Err(failure(Kind::StdinNotImplementedError, what));
            };
            if !matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
                request.publisher.say("Nothing is forgotten.").await;
                return Ok(Next::Continue);
            }
        }
        self.rust(":clear", 1, request).await?;
        request.publisher.say("All variables and definitions are forgotten.").await;
        Ok(Next::Continue)
    }

    /// For `%history`.
    pub(super) fn remember(&mut self, request: &Request) {
        let count = request.publisher.count();
        // A cell that a front end runs for itself has the count of the one before.
        let is_counted = self.history.last().is_none_or(|(last, _)| *last < count);
        if is_counted && !request.publisher.is_silent() {
            self.history.push((count, Arc::clone(&request.code)));
        }
    }

    pub(super) async fn tell_history(&self, history: &History, request: &Request) {
        let is_asked =
            |count: u32| history.cells.is_empty() || history.cells.iter().any(|cells| cells.contains(&count));
        let mut text = String::new();
        for (count, code) in self.history.iter().filter(|(count, _)| is_asked(*count)) {
            let code = code.trim_end_matches('\n');
            text += &match history.numbered {
                true => format!("{count}: {code}\n"),
                false => format!("{code}\n"),
            };
        }
        if let (true, [.., (last, _)]) = (text.is_empty(), self.history.as_slice()) {
            text = format!("No cell of these numbers was run; the last one is {last}.\n");
        }
        request.publisher.stream("stdout", &text).await;
    }
}

/// `NAME=VALUE`, line by line.
fn listed(surroundings: Surroundings) -> String {
    let mut env: Vec<(OsString, OsString)> = surroundings.env.unwrap_or_else(|| std::env::vars_os().collect());
    env.sort();
    let lossy = |text: &OsStr| text.to_string_lossy().into_owned();
    env.iter().map(|(name, value)| format!("{}={}\n", lossy(name), lossy(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_terminals_can_show_has_a_text() {
        let types = |mime| shown(Shown { mime, text: "x" }).keys().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(types("text/html"), "text/html");
        assert_eq!(types("text/latex"), "text/latex text/plain");
    }

    #[test]
    fn the_environment_is_listed_by_name() {
        let env = [("B", "2"), ("A", "1 =")].map(|(name, value)| (name.into(), value.into())).to_vec();
        assert_eq!(listed(Surroundings { folder: None, env: Some(env) }), "A=1 =\nB=2\n");
    }
}
