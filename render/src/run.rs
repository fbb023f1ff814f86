//! One engine's events of a run, made into what there is to show: text instead of bytes, the result told from other
//! displays, a failure with the panic that it came from.

use super::output::{Bundle, Output, bundle, stream_text};
use super::utf8::Utf8Decoder;
use crate::failure::{Panicked, RunFailure};
use chorus_protocol::{DisplayKind, EngineId, Outcome, Panic, RunEvent, Stream};

/// Where in the user's cell something happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// How the user knows the cell: `cell`, or `In[3]`.
    pub cell: String,
    /// 1-based line.
    pub line: u32,
    /// 1-based column.
    pub column: u32,
    /// The text of that line.
    pub text: String,
    /// Whether what happened there was a call of something that isn't the user's.
    pub is_call: bool,
    /// The user's functions that were being called, the innermost first, in words.
    pub calls: Vec<String>,
}

/// Something to show.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Text(Stream, String),
    Display(Bundle),
    /// A display that can be replaced under this name, which is unique in the notebook.
    Named(String, Bundle),
    /// Another value for the display of this name.
    Update(String, Bundle),
    Clear {
        wait: bool,
    },
    /// A panic that didn't end the run: it was caught, or another thread's.
    Panic(Panicked),
    /// The value of the cell's last expression.
    Result(Bundle),
    Failed(RunFailure),
    Done,
}

/// A run on one engine, or in the notebook's own worker.
#[derive(Clone, Debug)]
pub(super) struct Run {
    source: Source,
    stdout: Utf8Decoder,
    stderr: Utf8Decoder,
    /// The last display. It is the result if the run ends well after it.
    held: Option<Bundle>,
    /// The last panic of the cell's own thread. It is the failure if the run fails after it.
    panic: Option<Panicked>,
    /// The last panic of another thread. The cell's own may have gone on with it, as those do that wait for rayon's.
    of_thread: Option<Panicked>,
    done: bool,
}

/// Who runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The notebook's own worker.
    Local,
    /// An engine.
    Engine(EngineId),
}

impl Source {
    /// The name in the notebook of a display that its worker calls `id`.
    pub(super) fn display_id(self, id: &str) -> String {
        match self {
            Source::Local => format!("px-local-{id}"),
            Source::Engine(engine) => format!("px-{engine}-{id}"),
        }
    }
}

/// What a thread shows when its run is over.
pub fn late(source: Source, event: &RunEvent) -> Option<Output> {
    match event {
        RunEvent::Output { stream, bytes } => Some(stream_text(*stream, &String::from_utf8_lossy(bytes))),
        RunEvent::Display { kind: DisplayKind::Update(id), contents } => {
            Some(Output::Update { id: source.display_id(id), data: bundle(contents) })
        }
        RunEvent::Display { kind: DisplayKind::New(id), contents } => {
            Some(Output::named(source.display_id(id), bundle(contents)))
        }
        RunEvent::Display { contents, .. } => Some(Output::display(bundle(contents))),
        _ => None,
    }
}

impl Run {
    /// A run that hasn't begun.
    pub(super) fn new(source: Source) -> Run {
        let (stdout, stderr) = (Utf8Decoder::default(), Utf8Decoder::default());
        Run { source, stdout, stderr, held: None, panic: None, of_thread: None, done: false }
    }

    /// What there is to show now. `place` is where a panic happened, and `has_result` says whether the cell ends in an
    /// expression.
    pub(super) fn event(&mut self, event: &RunEvent, place: Option<Place>, has_result: bool) -> Vec<Step> {
        let mut steps = Vec::new();
        match event {
            RunEvent::Started(_) => {}
            RunEvent::Output { stream, bytes } => {
                // Displays come in order with stdout, so that what stands before more text wasn't the result.
                if *stream == Stream::Stdout {
                    steps.extend(self.held.take().map(Step::Display));
                }
                let text = self.decoder(*stream).decode(bytes);
                steps.push(Step::Text(*stream, text));
            }
            RunEvent::Display { kind, contents } => {
                let data = bundle(contents);
                if let DisplayKind::Update(id) = kind {
                    // It stands elsewhere: what is held may still be the result.
                    steps.push(Step::Update(self.source.display_id(id), data));
                    return steps;
                }
                steps.extend(self.held.take().map(Step::Display));
                match kind {
                    DisplayKind::New(id) => steps.push(Step::Named(self.source.display_id(id), data)),
                    DisplayKind::Value if has_result && !self.done => self.held = Some(data),
                    _ => steps.push(Step::Display(data)),
                }
            }
            RunEvent::ClearOutput { wait } => {
                steps.extend(self.held.take().map(Step::Display));
                steps.push(Step::Clear { wait: *wait });
            }
            RunEvent::Panic(panic) => steps.extend(self.panicked(panic, place)),
            RunEvent::Done { outcome, .. } => self.done(outcome, &mut steps),
        }
        steps
    }

    fn panicked(&mut self, panic: &Panic, place: Option<Place>) -> Option<Step> {
        let panicked = Panicked { panic: panic.clone(), place };
        if panic.thread.is_some() || self.done {
            self.of_thread = Some(panicked.clone());
            return Some(Step::Panic(panicked));
        }
        // An earlier one was caught, since the cell went on.
        self.panic.replace(panicked).map(Step::Panic)
    }

    fn done(&mut self, outcome: &Outcome, steps: &mut Vec<Step>) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let cut = self.decoder(stream).finish();
            if !cut.is_empty() {
                steps.push(Step::Text(stream, cut.to_owned()));
            }
        }
        let (held, panic) = (self.held.take(), self.panic.take());
        if *outcome == Outcome::Ok {
            steps.extend(panic.map(Step::Panic));
            // evcxr shows `()` for an expression that moves a variable.
            steps.extend(held.filter(|data| super::output::only_text(data) != Some("()")).map(Step::Result));
        } else {
            let panic = panic.or_else(|| self.of_thread.take().filter(|_| *outcome == Outcome::Panicked));
            steps.extend(held.map(Step::Display));
            steps.push(Step::Failed(RunFailure {
                outcome: outcome.clone(),
                panic,
                lost: Vec::new(),
                interrupted: false,
            }));
        }
        steps.push(Step::Done);
        self.done = true;
    }

    fn decoder(&mut self, stream: Stream) -> &mut Utf8Decoder {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}
