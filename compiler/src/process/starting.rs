//! The compiler's process comes in the background, and only who needs it waits for it. One that has ended is replaced.

use crate::cell::types::Config;
use crate::dependencies::Building;
use crate::messages::diagnostic::Diagnostic;
use crate::messages::failure::Failure;
use crate::process::evaluator::Evaluator;
use crate::process::finder::{self, Sharing};
use crate::process::message::{Reply, receive};
use crate::process::snapshots::Snapshots;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How soon an interrupt is heard while a cell waits for the start.
const LISTEN: Duration = Duration::from_millis(20);
/// How it is tried to start one: a template may leave, or be killed, in that moment.
const ATTEMPTS: [Sharing; 3] = [Sharing::IfPossible, Sharing::IfPossible, Sharing::Never];

/// The compiler's process, and the snapshots that it keeps.
pub(crate) struct Evcxr {
    pub evaluator: Evaluator,
    pub snapshots: Snapshots,
}

enum State {
    /// Nothing is there. It is begun when it is needed.
    Resting,
    Starting(Receiver<Result<Evcxr, Diagnostic>>),
    Ready(Box<Evcxr>),
}

/// A compiler's process that may still be starting.
pub(crate) struct Starting {
    state: State,
    config: Config,
    px: PathBuf,
    dependencies: PathBuf,
    standard: PathBuf,
}

impl Starting {
    /// Begins to start it; cells are linked to this standard library.
    pub fn begin(config: &Config, px: &Path, dependencies: &Path, standard: &Path) -> io::Result<Starting> {
        let mut starting = Starting {
            state: State::Resting,
            config: config.clone(),
            px: px.to_owned(),
            dependencies: dependencies.to_owned(),
            standard: standard.to_owned(),
        };
        starting.start()?;
        Ok(starting)
    }

    fn start(&mut self) -> io::Result<()> {
        let (sender, receiver) = channel();
        let (config, px, dependencies, standard) =
            (self.config.clone(), self.px.clone(), self.dependencies.clone(), self.standard.clone());
        std::thread::Builder::new().name("compiler-start".into()).spawn(move || {
            let begun = Instant::now();
            let started = start(&config, &px, &dependencies, &standard);
            tracing::debug!(after = ?begun.elapsed(), "the compiler's process has started");
            // If nobody is there to take it, the kernel ends.
            let _ = sender.send(started);
        })?;
        self.state = State::Starting(receiver);
        Ok(())
    }

    fn begin_unless_begun(&mut self) -> Result<(), Failure> {
        match self.state {
            State::Resting => {
                self.start().map_err(|error| Failure::from(Diagnostic::error(format!("can't start a thread: {error}"))))
            }
            _ => Ok(()),
        }
    }

    /// Waits for it if need be.
    pub fn get(&mut self) -> Result<&mut Evcxr, Failure> {
        self.begin_unless_begun()?;
        if let State::Starting(receiver) = &self.state {
            (self.config.building.0)(Building::Starts);
            let started = loop {
                match receiver.recv_timeout(LISTEN) {
                    Ok(started) => break started,
                    Err(RecvTimeoutError::Timeout) if self.config.interrupter.was_asked() => {
                        return Err(Failure::Interrupted);
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => {
                        break Err(Diagnostic::error("the compiler couldn't be started: restart the kernel"));
                    }
                }
            };
            (self.config.building.0)(Building::Started);
            // After an error, the next who needs it tries again: what is missing may be there then.
            self.state = State::Resting;
            self.state = State::Ready(Box::new(started?));
        }
        self.ready().ok_or(Failure::Interrupted)
    }

    /// It, if it has started. It is begun otherwise, and nobody waits for it.
    pub fn if_started(&mut self) -> Result<Option<&mut Evcxr>, Failure> {
        self.begin_unless_begun()?;
        if let State::Starting(receiver) = &self.state
            && let Ok(started) = receiver.try_recv()
        {
            self.state = State::Resting;
            self.state = State::Ready(Box::new(started?));
        }
        Ok(self.ready())
    }

    /// It, if it has started and was needed already.
    pub fn ready(&mut self) -> Option<&mut Evcxr> {
        match &mut self.state {
            State::Ready(evcxr) => Some(evcxr),
            _ => None,
        }
    }

    /// As [`Starting::ready`].
    pub fn if_ready(&self) -> Option<&Evcxr> {
        match &self.state {
            State::Ready(evcxr) => Some(evcxr),
            _ => None,
        }
    }

    /// Whether it was there and has ended.
    pub fn has_ended(&self) -> bool {
        matches!(&self.state, State::Ready(evcxr) if evcxr.evaluator.is_gone())
    }

    /// Has another one take the place of one that has ended. Snapshots of that one mean nothing any more.
    pub fn renew(&mut self) {
        if self.has_ended() {
            self.rest();
        }
    }

    /// Ends it, so that its memory is free. The next that needs one waits for it.
    pub fn rest(&mut self) {
        let is_there = match &self.state {
            State::Ready(_) => true,
            // It has started, and nobody has needed it yet.
            State::Starting(receiver) => receiver.try_recv().is_ok(),
            State::Resting => false,
        };
        if is_there {
            self.state = State::Resting;
        }
    }
}

fn start(config: &Config, px: &Path, dependencies: &Path, standard: &Path) -> Result<Evcxr, Diagnostic> {
    let mut failed = None;
    for sharing in ATTEMPTS {
        match try_start(config, px, dependencies, standard, sharing) {
            Ok(started) => return started,
            Err(error) => failed = Some(error),
        }
    }
    let why = failed.map(|error| error.to_string()).unwrap_or_default();
    Err(Diagnostic::error(format!("the compiler's process can't be started: {why}")))
}

/// An outer error is about the process, which may be gone for a reason of its own; an inner one is what it says.
fn try_start(
    config: &Config,
    px: &Path,
    dependencies: &Path,
    standard: &Path,
    sharing: Sharing,
) -> io::Result<Result<Evcxr, Diagnostic>> {
    let mut connection = finder::connect(config, px, dependencies, standard, sharing)?;
    let started = match receive(&mut connection)? {
        Reply::Started(Ok(started)) => started,
        Reply::Started(Err(error)) => return Ok(Err(error)),
        other => return Err(io::Error::other(format!("it says something else: {other:?}"))),
    };
    let (evaluator, base) = Evaluator::new(connection, started, &config.folder, &config.interrupter)?;
    config.assistant.turn_to(&evaluator, &base);
    Ok(Ok(Evcxr { evaluator, snapshots: Snapshots::new(base) }))
}
