//! One engine's events of a run, made into what there is to show: text instead of bytes, the result told from other
//! displays, a failure with the panic that it came from.

use super::failure::{Failure, Panicked};
use super::output::{Bundle, bundle};
use super::utf8::Utf8Decoder;
use chorus_protocol::{Outcome, Panic, RunEvent, Stream};

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
}

/// Something to show.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Text(Stream, String),
    Display(Bundle),
    /// A panic that didn't end the run: it was caught, or another thread's.
    Panic(Panicked),
    /// The value of the cell's last expression.
    Result(Bundle),
    Failed(Failure),
    Done,
}

/// A run on one engine, or in the notebook's own worker.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    stdout: Utf8Decoder,
    stderr: Utf8Decoder,
    /// The last display. It is the result if the run ends well after it.
    held: Option<Bundle>,
    /// The last panic of the cell's own thread. It is the failure if the run fails after it.
    panic: Option<Panicked>,
    done: bool,
}

impl Run {
    /// What there is to show now. `place` is where a panic happened, and `has_result` says whether the cell ends in an
    /// expression.
    pub(super) fn event(&mut self, event: &RunEvent, place: Option<Place>, has_result: bool) -> Vec<Step> {
        let mut steps = Vec::new();
        match event {
            RunEvent::Started => {}
            RunEvent::Output { stream, bytes } => {
                // Displays come in order with stdout, so that what stands before more text wasn't the result.
                if *stream == Stream::Stdout {
                    steps.extend(self.held.take().map(Step::Display));
                }
                let text = self.decoder(*stream).decode(bytes);
                steps.push(Step::Text(*stream, text));
            }
            RunEvent::Display(contents) => {
                steps.extend(self.held.take().map(Step::Display));
                let data = bundle(contents);
                if has_result && !self.done {
                    self.held = Some(data);
                } else {
                    steps.push(Step::Display(data));
                }
            }
            RunEvent::Panic(panic) => steps.extend(self.panicked(panic, place)),
            RunEvent::Done { outcome, .. } => self.done(outcome, &mut steps),
        }
        steps
    }

    fn panicked(&mut self, panic: &Panic, place: Option<Place>) -> Option<Step> {
        let panicked = Panicked { panic: panic.clone(), place };
        if panic.thread.is_some() || self.done {
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
            steps.extend(held.map(Step::Display));
            steps.push(Step::Failed(Failure { outcome: outcome.clone(), panic, lost: Vec::new(), interrupted: false }));
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
