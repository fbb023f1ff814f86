//! The cells that wait in line are compiled while one runs, each as if all before it succeeded. When it is their turn, they are
//! found in the compiler's cache; see [`Compiler::compile_ahead`].

use super::Executor;
use crate::compiler_thread::CompilerThread;
use chorus_compiler::{CellText, Compiler, Member};
use chorus_magics::{self as magics, Command, Part, Px, PxConfig, Targets};
use chorus_protocol::EngineId;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// What is compiled ahead. Clones are the same.
#[derive(Clone)]
pub struct Ahead(Arc<Shared>);

struct Shared {
    compiler: CompilerThread,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Where Rust of cells belongs, while one runs.
    during: Option<Settings>,
    /// Whether the compiler's thread has been asked for the next one.
    asked: bool,
}

impl State {
    /// The first one that is to be compiled, unless none can be.
    fn next(&mut self) -> Option<&mut Waiting> {
        let first = self.waiting.iter_mut().find(|cell| cell.progress != Progress::Done);
        first.filter(|cell| cell.progress == Progress::Untouched)
    }
}

/// A cell that waits.
struct Waiting {
    code: Arc<str>,
    /// The execution count that it is going to have.
    count: u32,
    progress: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Untouched,
    /// It is compiled, as far as that could be.
    Done,
    /// It can't be known what those behind it mean. It isn't tried again.
    Barrier,
}

/// What decides where a cell's Rust belongs.
#[derive(Clone)]
struct Settings {
    px: PxConfig,
    autopx: Option<PxConfig>,
    engines: Vec<EngineId>,
}

/// A cell runs, until this is dropped.
pub(super) struct During(Ahead);

impl Drop for During {
    fn drop(&mut self) {
        self.0.0.state.lock().during = None;
    }
}

impl Ahead {
    pub(super) fn new(compiler: CompilerThread) -> Ahead {
        Ahead(Arc::new(Shared { compiler, state: Mutex::default() }))
    }

    /// A cell waits behind all others.
    pub fn waits(&self, code: &str, count: u32) {
        self.0.state.lock().waiting.push_back(Waiting { code: code.into(), count, progress: Progress::Untouched });
        self.go_on();
    }

    /// The first one that waits doesn't wait any more.
    pub fn turn(&self) {
        self.0.state.lock().waiting.pop_front();
    }

    /// None waits any more.
    pub fn clear(&self) {
        self.0.state.lock().waiting.clear();
    }

    /// Asks for the next one, if a cell runs.
    fn go_on(&self) {
        let mut state = self.0.state.lock();
        if state.during.is_some() && !state.asked && state.next().is_some() {
            state.asked = true;
            let ahead = self.clone();
            // One at a time: whatever else the compiler is asked for goes in between.
            self.0.compiler.send(move |compiler| {
                ahead.compile_next(compiler);
                ahead.0.state.lock().asked = false;
                ahead.go_on();
            });
        }
    }

    fn compile_next(&self, compiler: &mut Compiler) {
        let (code, count, settings) = {
            let mut state = self.0.state.lock();
            let Some(settings) = state.during.clone() else { return };
            if !compiler.is_ahead() {
                // What was assumed is thrown away: all of them are to be found anew.
                let done = state.waiting.iter_mut().filter(|cell| cell.progress == Progress::Done);
                done.for_each(|cell| cell.progress = Progress::Untouched);
            }
            let Some(cell) = state.next() else { return };
            cell.progress = Progress::Done;
            (Arc::clone(&cell.code), cell.count, settings)
        };
        let goes_on = magics::parse(&code, &settings.px)
            .is_ok_and(|parts| parts.into_iter().all(|part| compile_ahead(compiler, part, (&code, count), &settings)));
        if !goes_on {
            let mut state = self.0.state.lock();
            // Its turn may have come meanwhile.
            let cell = state.waiting.iter_mut().find(|cell| Arc::ptr_eq(&cell.code, &code));
            cell.into_iter().for_each(|cell| cell.progress = Progress::Barrier);
        }
    }
}

/// Compiles what is Rust. False if it can't be known what cells behind it mean.
fn compile_ahead(compiler: &mut Compiler, part: Part<'_>, cell: (&str, u32), settings: &Settings) -> bool {
    let local = [Member::Local];
    let on = |targets: &Targets| -> Option<Vec<Member>> {
        let engines = targets.resolve(&settings.engines).ok()?;
        Some(engines.into_iter().map(Member::Engine).collect())
    };
    let mut compile = |text: &str, first_line: usize, members: &[Member]| {
        let cell = CellText { text, count: cell.1, first_line, cell: cell.0, users: CellText::ALL };
        compiler.compile_ahead(cell, members)
    };
    match part {
        Part::Blank { .. } => true,
        Part::Rust { text, first_line } => match &settings.autopx {
            None => compile(text, first_line, &local),
            Some(config) => on(&config.targets).is_some_and(|members| compile(text, first_line, &members)),
        },
        Part::Magic { command: Command::Px(Px { options, code }), .. } => {
            let text = " ".repeat(code.column.saturating_sub(1)) + code.text;
            let there = on(&options.config.targets).is_some_and(|members| compile(&text, code.line, &members));
            there && (!options.local || compile(code.text, code.line, &local))
        }
        Part::Magic { command, .. } => changes_nothing(&command),
    }
}

/// Whether cells behind it mean the same with it and without.
fn changes_nothing(command: &Command<'_>) -> bool {
    matches!(
        command,
        Command::Tasks(_)
            | Command::PxResult(_)
            | Command::Gpu(_)
            | Command::Script(_)
            | Command::Shell(_)
            | Command::WriteFile(_)
            | Command::Load(_)
            | Command::Show(_)
            | Command::History(_)
            | Command::Say(_)
            | Command::Who(_)
            | Command::Snapshot(_)
            | Command::Help(_)
            | Command::Page(_)
            | Command::LsMagic(_)
    )
}

impl Executor {
    /// What is compiled while cells run.
    pub fn ahead(&self) -> Ahead {
        self.ahead.clone()
    }

    /// A cell is about to run, and the compiler has nothing to do. What is timed isn't disturbed.
    pub(super) fn during(&self) -> During {
        let engines = self.engines.current().map_or_else(Vec::new, |cluster| cluster.engines());
        let settings = Settings { px: self.px.clone(), autopx: self.autopx.clone(), engines };
        self.ahead.0.state.lock().during = (!self.is_timing).then_some(settings);
        self.ahead.go_on();
        During(self.ahead.clone())
    }
}
