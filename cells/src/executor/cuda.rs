//! `%%cuda`: NVRTC compiles the cell, and its kernels become functions of the notebook.

use super::gpu_status::ask_all;
use super::{Done, Executor, Request};
use crate::failure::{Failure, Kind, failure};
use crate::jobs::MapOptions;
use crate::surroundings::Surroundings;
use chorus_compiler::{Diagnostic, Level, Module, Span};
use chorus_gpu::cuda::helper::{self, ANY, Answer, NVRTC, Order};
use chorus_gpu::cuda::messages::Message;
use chorus_gpu::cuda::nvrtc::{Compiled, Failed};
use chorus_gpu::cuda::signature::Refused;
use chorus_gpu::cuda::{definitions, entries, places, signature};
use chorus_magics::{Cuda, rust::Text};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

/// Has Python say where it looks for packages.
const PACKAGES: &str = "import sys; print(*sys.path, sep='\\n')";
/// How long that may take. Without an answer, its packages aren't looked at.
const PYTHON: Duration = Duration::from_secs(10);

impl Executor {
    pub(super) async fn cuda(&mut self, cell: Cuda<'_>, request: &Request) -> Done {
        let surroundings = self.surroundings().await;
        let (program, options) = (cell.code.text.to_owned(), cell.options.clone());
        let library = library(&surroundings, request).await?;
        let order = Order { library, program, options, capability: self.capability().await };
        let Compiled { ptx, warnings } = self.nvrtc(&order, &cell, &surroundings, request).await?;
        for warning in &warnings {
            request.publisher.warn(&diagnostic(warning, &cell, &request.code).render(false)).await;
        }
        let kernels = signature::kernels(&order.program).and_then(|kernels| entries::compiled(kernels, &ptx));
        let kernels = kernels.map_err(|refused| refusal(refused, &cell, &request.code))?;
        if kernels.is_empty() {
            let what = "there is no kernel in this cell, `extern \"C\" __global__ void NAME(..) { .. }`, so it defines nothing";
            return Err(failure(Kind::MagicError, what));
        }
        let below = cell.code.text.lines().count();
        let text = Text::of_cell(definitions::rust(&kernels, &ptx), cell.line, below);
        let plan = self.plan(MapOptions::default(), None, request);
        let next = self.rust_by_plan(plan, &text.text, text.first_line, Some(&text), request).await.0?;
        for kernel in &kernels {
            request.publisher.say(&format!("Defined {}", definitions::call(kernel))).await;
        }
        Ok(next)
    }

    /// The least compute capability of the engines' GPUs, as in 90 for 9.0. One that any has if none is known.
    async fn capability(&self) -> u32 {
        let Some(cluster) = self.engines.current() else { return ANY };
        let told = ask_all(&cluster).await.into_iter().filter_map(|(_, told)| told?.ok()?.state.capability);
        told.map(|(major, minor)| 10 * major + minor).min().unwrap_or(ANY)
    }

    /// What NVRTC makes of a program, unless it is kept. What it warns of isn't, so that it is told each time.
    async fn nvrtc(
        &mut self,
        order: &Order,
        cell: &Cuda<'_>,
        surroundings: &Surroundings,
        request: &Request,
    ) -> Result<Compiled, Failure> {
        let recipe = recipe(order).filter(|_| helper::is_alone(&order.program, &order.options));
        let kept = self.gpu_modules().zip(recipe);
        let found = kept.as_ref().and_then(|(modules, recipe)| modules.get(recipe));
        if let Some(ptx) = found.and_then(|module| String::from_utf8(module.ptx).ok()) {
            return Ok(Compiled { ptx, warnings: Vec::new() });
        }
        let program = self.config.nvrtc.to_string_lossy();
        let answer = compiled(surroundings.command(&program), order, request).await?;
        let compiled = answer.map_err(|failed| match failed {
            Failed::Program(messages) => {
                let errors = messages.iter().filter(|it| it.is_error);
                Failure::Compile(errors.map(|it| diagnostic(it, cell, &request.code)).collect())
            }
            failed @ Failed::Library(_) => failure(Kind::MagicError, failed.to_string()),
        })?;
        if let Some((modules, recipe)) = kept.filter(|_| compiled.warnings.is_empty()) {
            modules.put(&recipe, &Module { ptx: compiled.ptx.clone().into_bytes(), layout: [0; 4] });
        }
        Ok(compiled)
    }
}

/// All that the code depends on, if NVRTC's file can be told from another one.
fn recipe(order: &Order) -> Option<String> {
    let Order { library, program, options, capability } = order;
    let file = std::fs::metadata(library).ok()?;
    let (bytes, since) = (file.len(), (file.mtime(), file.mtime_nsec()));
    Some(format!("NVRTC {library:?} {bytes} {since:?}\n{capability} {options:?}\n{program}"))
}

/// Where NVRTC is.
async fn library(surroundings: &Surroundings, request: &Request) -> Result<PathBuf, Failure> {
    let var = |name: &str| surroundings.var(name);
    let missing = match places::find(&var, &[]) {
        Ok(library) => return Ok(library),
        Err(missing) => missing,
    };
    if missing.is_chosen() {
        return Err(failure(Kind::MagicError, missing.to_string()));
    }
    // To start Python takes a while, so it comes last.
    let mut python = surroundings.command("python3");
    python.args(["-c", PACKAGES]).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let mut interrupted = request.interrupted.clone();
    let said = tokio::select! {
        said = timeout(PYTHON, python.output()) => said,
        () = interrupted.next() => return Err(interrupt()),
    };
    let said = said.ok().and_then(Result::ok).map(|said| said.stdout).unwrap_or_default();
    let folders = String::from_utf8_lossy(&said);
    let folders: Vec<PathBuf> = folders.lines().filter(|it| Path::new(it).is_dir()).map(PathBuf::from).collect();
    places::find(&var, &folders).map_err(|missing| failure(Kind::MagicError, missing.to_string()))
}

/// Has a process of its own compile. An interrupt ends it.
async fn compiled(mut command: Command, order: &Order, request: &Request) -> Result<Answer, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        failure(Kind::MagicError, format!("NVRTC can't be run: {why}; nothing was defined"))
    };
    let order = serde_json::to_vec(order).map_err(|error| failed(&error))?;
    command.args([NVRTC, &std::process::id().to_string()]).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let run = async {
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(&order).await?;
        }
        child.wait_with_output().await
    };
    let mut interrupted = request.interrupted.clone();
    let output = tokio::select! {
        output = run => output.map_err(|error| failed(&error))?,
        () = interrupted.next() => return Err(interrupt()),
    };
    match output.status.success() {
        true => serde_json::from_slice(&output.stdout).map_err(|error| failed(&error)),
        false => Err(failed(&format!("its process ended with {}", output.status))),
    }
}

fn interrupt() -> Failure {
    failure(Kind::Interrupted, "the cell was interrupted while it was compiled; nothing was defined")
}

/// What NVRTC says, at the user's line.
fn diagnostic(message: &Message, cell: &Cuda<'_>, whole: &str) -> Diagnostic {
    let line = message.line.map_or(whole.lines().count(), |line| cell.code.line + line - 1);
    let mut said = at_line(message.text.clone(), line, message.column(), whole);
    said.notes.extend(message.notes().map(|note| format!("note: {note}")));
    if !message.is_error {
        said.level = Level::Warning;
    }
    said
}

/// A signature that can't be taken.
fn refusal(refused: Refused, cell: &Cuda<'_>, whole: &str) -> Failure {
    Failure::Compile(vec![at_line(refused.what, cell.code.line + refused.line - 1, None, whole)])
}

/// An error at this line of the cell, from the first character on if there is no column.
fn at_line(message: String, line: usize, column: Option<usize>, whole: &str) -> Diagnostic {
    let text = whole.lines().nth(line.saturating_sub(1)).unwrap_or_default().to_owned();
    let first = 1 + text.chars().take_while(|it| it.is_whitespace()).count();
    let end_column = column.map_or(1 + text.trim_end().chars().count(), |column| column + 1);
    let column = column.unwrap_or(first);
    let (label, end_line) = (String::new(), line);
    let span = Span { line, column, end_line, end_column, label, primary: true, text, cell: None };
    Diagnostic { spans: vec![span], ..Diagnostic::error(message) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_magics::Code;

    const CELL: &str = "%%cuda -DN=1\n__device__ int a() { }\n\tint b = c;";

    fn cell() -> Cuda<'static> {
        let (_, text) = CELL.split_once('\n').unwrap();
        Cuda { options: Vec::new(), code: Code { text, line: 2, column: 1 }, line: 1 }
    }

    #[test]
    fn what_nvrtc_says_is_at_the_cells_line_and_column() {
        let shown = vec!["  \tint b = c;".to_owned(), "  \t        ^".to_owned(), "          at line 5".to_owned()];
        let error = Message { line: Some(2), is_error: true, text: "`c` is undefined".to_owned(), shown };
        let said = diagnostic(&error, &cell(), CELL);
        let span = &said.spans[0];
        assert_eq!((span.line, span.column, span.end_column, span.text.as_str()), (3, 10, 11, "\tint b = c;"));
        assert_eq!((said.level, &said.notes[..]), (Level::Error, &["note: at line 5".to_owned()][..]));
        let end = Message { line: None, is_error: false, text: "open".to_owned(), shown: Vec::new() };
        let said = diagnostic(&end, &cell(), CELL);
        assert_eq!(
            (said.level, said.spans[0].line, said.spans[0].column, said.spans[0].end_column),
            (Level::Warning, 3, 2, 12)
        );
        let far = Message { line: Some(99), ..end };
        assert_eq!(diagnostic(&far, &cell(), CELL).spans[0].text, "");
    }
}
