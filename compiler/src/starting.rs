//! evcxr takes seconds to start, so it starts in the background, and only who needs it waits for it.

use crate::definitions::Definitions;
use crate::definitions::prefix::Prefix;
use crate::diagnostic::Diagnostic;
use crate::evaluator::{Answer, Evaluator};
use crate::failure::Failure;
use crate::interrupt::Interrupter;
use crate::library::{self, Instead};
use crate::setting::Setting;
use crate::snapshots::Snapshots;
use crate::types::Config;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How soon an interrupt is heard while a cell waits for the start.
const LISTEN: Duration = Duration::from_millis(20);
/// rust-analyzer recurses deeply on large expressions.
const STACK: usize = 64 << 20;

/// evcxr, and its snapshots.
pub(crate) struct Evcxr {
    pub evaluator: Evaluator,
    pub snapshots: Snapshots,
}

enum State {
    Starting(Receiver<Result<Evcxr, Diagnostic>>),
    Ready(Box<Evcxr>),
    Failed(Diagnostic),
}

/// An evcxr that may still be starting.
pub(crate) struct Starting {
    state: State,
    /// Whether somebody waits, who is not to wait for what merely saves time later.
    wanted: Arc<AtomicBool>,
    interrupter: Interrupter,
}

impl Starting {
    /// Begins to start it.
    pub fn begin(config: &Config, px: &Path, dependencies: &Path) -> std::io::Result<Starting> {
        let (sender, receiver) = channel();
        let wanted = Arc::new(AtomicBool::new(false));
        let (config, px, hurry) = (config.clone(), px.to_owned(), Arc::clone(&wanted));
        let dependencies = dependencies.to_owned();
        let interrupter = config.interrupter.clone();
        std::thread::Builder::new().name("evcxr-start".into()).stack_size(STACK).spawn(move || {
            let begun = Instant::now();
            let mut started = start(&config, &px, &dependencies);
            tracing::debug!(after = ?begun.elapsed(), "evcxr has started");
            if let (false, Ok(evcxr)) = (hurry.load(Ordering::SeqCst), &mut started) {
                warm_up(evcxr);
            }
            // If nobody is there to take it, the kernel ends.
            let _ = sender.send(started);
        })?;
        Ok(Starting { state: State::Starting(receiver), wanted, interrupter })
    }

    /// Waits for it if need be.
    pub fn get(&mut self) -> Result<&mut Evcxr, Failure> {
        if let State::Starting(receiver) = &self.state {
            self.wanted.store(true, Ordering::SeqCst);
            let started = loop {
                match receiver.recv_timeout(LISTEN) {
                    Ok(started) => break started,
                    Err(RecvTimeoutError::Timeout) if self.interrupter.was_asked() => return Err(Failure::Interrupted),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => {
                        break Err(Diagnostic::error("evcxr panicked while it started: restart the kernel"));
                    }
                }
            };
            self.state = match started {
                Ok(evcxr) => State::Ready(Box::new(evcxr)),
                Err(error) => State::Failed(error),
            };
        }
        match &mut self.state {
            State::Ready(evcxr) => Ok(evcxr),
            State::Failed(error) => Err(Failure::from(error.clone())),
            State::Starting(_) => Err(Failure::Interrupted),
        }
    }

    /// It, if it has started and was needed already.
    pub fn ready(&mut self) -> Option<&mut Evcxr> {
        match &mut self.state {
            State::Ready(evcxr) => Some(evcxr),
            _ => None,
        }
    }
}

fn start(config: &Config, px: &Path, dependencies: &Path) -> Result<Evcxr, Diagnostic> {
    let failed = |what: &str, error: &dyn std::fmt::Display| Diagnostic::error(format!("{what}: {error}"));
    let nothing = Instead::nothing(&config.folder).map_err(|error| failed("can't write", &error))?;
    // Beside the start, which needs no library yet.
    let folder = config.folder.clone();
    let installing = std::thread::spawn(move || library::install(&folder));
    let evaluator = Evaluator::start(config, px).map_err(|error| {
        let missing = crate::toolchain::missing(&error.to_string());
        missing.unwrap_or_else(|| failed("evcxr can't be started; is the Rust toolchain installed?", &error))
    })?;
    if let Ok(Err(error)) = installing.join() {
        tracing::warn!("the standard library's source can't be installed: {error}");
    }
    drop(nothing);
    // evcxr tries dependencies out in its own crate's place.
    let manifest = std::fs::read_to_string(config.folder.join("Cargo.toml")).unwrap_or_default();
    let mut base = evaluator.snapshot();
    let mut settings = vec![
        crate::px::dependency(px, false),
        // evcxr prints what cargo says it compiles into the stderr of whoever started the kernel: a console's prompt.
        Setting::BuildEnv("CARGO_TERM_QUIET".into(), "true".into()),
    ];
    let tools = crate::tools::settings(&config.relay, &config.folder, dependencies);
    settings.extend(tools.map_err(|error| failed("can't write", &error))?);
    for setting in &settings {
        base = evaluator.configure(&base, setting).map_err(|error| failed("the crate px can't be used", &error))?;
    }
    if let Err(error) = crate::px::build_ahead(&manifest, &config.folder, px, &config.relay, dependencies) {
        tracing::warn!("px isn't built ahead: {error}");
    }
    Ok(Evcxr { evaluator, snapshots: Snapshots::new(base) })
}

/// Builds px and lets rust-analyzer read the standard library, which the first cell would wait for otherwise.
fn warm_up(evcxr: &mut Evcxr) {
    let (snapshot, prefix) = (evcxr.snapshots.base().clone(), Prefix::whole(&Definitions::new(), &Default::default()));
    let code =
        format!("{}let warm = vec![1].into_iter().map(|x: usize| x + 1).collect::<Vec<_>>();\nwarm.len()", prefix.text);
    if let Err(error) = evcxr.evaluator.eval(&code, &snapshot, &mut |_| Answer::Succeeded) {
        tracing::warn!("warming up failed: {error}");
    }
}
