//! `%run`: a file's text as a cell, or a notebook's cells.

use super::{Done, Executor, Next, Request, files};
use crate::failure::{Failure, Kind, failure};
use chorus_jupyter::notebook::{has_tag, is_code, source};
use chorus_magics as magics;
use parking_lot::Mutex;
use serde_json::Value;
use std::sync::Arc;

/// A cell of a file.
#[derive(Debug, PartialEq)]
struct FileCell {
    /// Where it is, as users know it.
    place: String,
    code: String,
    /// It is tagged `raises-exception`: the next one runs, too, when it fails.
    may_fail: bool,
}

impl Executor {
    pub(super) async fn run_file(&mut self, file: &str, request: &Request) -> Done {
        let surroundings = self.surroundings().await;
        let path = surroundings.path(file);
        let path = tokio::fs::canonicalize(&path).await.unwrap_or(path);
        if self.files.contains(&path) {
            return Err(failure(Kind::FileError, format!("`{file}` would run itself")));
        }
        let text = files::read(file, &surroundings).await?;
        let cells = match file.ends_with(".ipynb") {
            true => notebook_cells(file, &text)?,
            false => vec![FileCell { place: file.to_owned(), code: with_main(text), may_fail: false }],
        };
        self.files.push(path);
        let done = self.run_cells(cells, request).await;
        self.files.pop();
        done
    }

    async fn run_cells(&mut self, cells: Vec<FileCell>, request: &Request) -> Done {
        for FileCell { place, code, may_fail } in cells {
            let inner = Request {
                code: magics::options_as_comments(&code).into(),
                publisher: request.publisher.clone(),
                front_end: request.front_end.clone(),
                interrupted: request.interrupted.clone(),
                preparing: Mutex::default(),
            };
            let code = Arc::clone(&inner.code);
            let done = match magics::parse(&code, &self.px) {
                Ok(parts) => Box::pin(self.run_parts(parts, &inner)).await,
                Err(error) => Err(Failure::from(error)),
            };
            let done = match done {
                Ok(next) => Ok(next),
                Err(failed) => Err(self.explaining_magics(failed, &code).await.in_file(place)),
            };
            match done {
                Ok(Next::Continue) => {}
                Ok(Next::Quit) => return Ok(Next::Quit),
                // An output of the kind `error` would make runners stop here.
                Err(failed) if may_fail && !failed.is_interrupt() => {
                    request.publisher.warn(&failed.content().traceback.join("\n")).await;
                }
                Err(failed) => return Err(failed),
            }
        }
        Ok(Next::Continue)
    }
}

/// The text of a program, which ends with a call of its `main`.
fn with_main(text: String) -> String {
    let is_main = |line: &str| {
        let line = line.strip_prefix("pub ").unwrap_or(line);
        line.strip_prefix("async ").unwrap_or(line).starts_with("fn main(")
    };
    match text.lines().any(is_main) {
        true => format!("{text}\nmain()"),
        false => text,
    }
}

/// The cells of a notebook that have code.
fn notebook_cells(file: &str, text: &str) -> Result<Vec<FileCell>, Failure> {
    let wrong = |why: String| failure(Kind::FileError, format!("`{file}` can't be run: {why}"));
    let notebook: Value = serde_json::from_str(text).map_err(|error| wrong(format!("it is no notebook: {error}")))?;
    let cells = notebook["cells"].as_array().ok_or_else(|| wrong("it is no notebook: it has no cells".to_owned()))?;
    let code = cells.iter().enumerate().filter(|(_, cell)| is_code(cell));
    let cells = code.map(|(at, cell)| FileCell {
        place: format!("cell {} of {file}", at + 1),
        code: source(cell).unwrap_or_default(),
        may_fail: has_tag(cell, "raises-exception"),
    });
    Ok(cells.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_called() {
        let called = |text: &str| with_main(text.to_owned()).ends_with("\nmain()");
        assert!(called("use a;\nfn main() {}\n") && called("pub async fn main() {}"));
        assert!(!called("fn mainly() {}") && !called("    fn main() {}") && !called("// fn main()"));
    }

    #[test]
    fn the_code_of_a_notebook_is_found() {
        let text = r##"{"cells": [{"cell_type": "markdown", "source": "# a"}, {"cell_type": "code", "source": ["1;\n", "2"]},
            {"cell_type": "code", "source": "3", "metadata": {"tags": ["raises-exception"]}}]}"##;
        let cells = notebook_cells("a.ipynb", text).unwrap();
        let expected = [("cell 2 of a.ipynb", "1;\n2", false), ("cell 3 of a.ipynb", "3", true)];
        let cell =
            |(place, code, may_fail): (&str, &str, bool)| FileCell { place: place.into(), code: code.into(), may_fail };
        assert_eq!(cells, expected.map(cell));
        for text in ["", "[]", "{}", "{\"cells\": 1}"] {
            assert!(notebook_cells("a.ipynb", text).unwrap_err().sentence().contains("no notebook"), "{text}");
        }
    }
}
