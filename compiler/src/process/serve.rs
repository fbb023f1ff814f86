//! Answers one kernel's questions.

use super::BuildFolder;
use super::context::{Context, State};
use super::message::{Ask, Evaluated, Reply, ToRun, receive, send};
use crate::messages::complaint::Error;
use crate::messages::diagnostic::Diagnostic;
use crate::process::interrupt::{Interrupter, kill_builds};
use chorus_system::process;
use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};

/// An evcxr for one kernel.
pub(super) struct Server {
    pub context: Context,
    pub base: State,
    /// By which name evcxr knows the folder where everything is built, and which that is.
    pub place: BuildFolder,
    pub folder: PathBuf,
    pub interrupter: Interrupter,
}

/// Serves the only kernel of this process.
pub(super) fn alone(server: Result<Server, Diagnostic>, mut kernel: UnixStream) -> io::Result<()> {
    let (folder, current) = asked_to_take(&mut kernel)?;
    let mut server = match server {
        Ok(server) => server,
        Err(error) => return send(&mut kernel, &Reply::Started(Err(error))),
    };
    go_to(&current);
    server.folder = folder;
    server.context.warm_up(&server.base);
    server.serve(kernel)
}

/// What a kernel says first: where is to be built, and where the user's relative paths begin.
pub(super) fn asked_to_take(kernel: &mut UnixStream) -> io::Result<(PathBuf, PathBuf)> {
    match receive(kernel)? {
        Ask::Take { folder, current } => Ok((folder, current)),
        other => Err(io::Error::other(format!("this isn't what a kernel begins with: {other:?}"))),
    }
}

/// Where the user's relative paths begin.
pub(super) fn go_to(current: &Path) {
    if let Err(error) = std::env::set_current_dir(current) {
        tracing::warn!("{}: {error}", current.display());
    }
}

impl Server {
    /// Answers until the kernel is gone, and this process with it.
    pub fn serve(self, kernel: UnixStream) -> ! {
        if let Err(error) = self.answer(kernel) {
            tracing::warn!("a kernel's compiler ends: {error}");
        }
        process::leave(0)
    }

    fn answer(mut self, mut kernel: UnixStream) -> io::Result<()> {
        let (sender, asks) = channel();
        let from = kernel.try_clone()?;
        let interrupter = self.interrupter.clone();
        std::thread::Builder::new().name("asks".into()).spawn(move || hear(from, &sender, &interrupter))?;
        let mut states = States { by_number: HashMap::from([(0, self.base.clone())]), last: 0 };
        send(&mut kernel, &Reply::Started(Ok((std::process::id(), 0))))?;
        let mut first = self.while_idle(&asks);
        loop {
            let ask = match first.take() {
                Some(ask) => ask,
                None => match asks.recv() {
                    Ok(ask) => ask,
                    Err(_) => return Ok(()),
                },
            };
            let reply = match ask {
                Ask::Forget(numbers) => {
                    states.by_number.retain(|number, _| !numbers.contains(number));
                    continue;
                }
                Ask::Eval { code, snapshot, lose } => {
                    let evaluated = states.get(snapshot).and_then(|state| self.eval(&code, &state, &lose));
                    let kept = |(state, evaluated)| Evaluated { snapshot: states.keep(state), ..evaluated };
                    Reply::Evaluated(evaluated.map(kept))
                }
                Ask::Configure { snapshot, setting } => {
                    let configured =
                        states.get(snapshot).and_then(|state| Ok(self.context.configure(&state, &setting)?));
                    Reply::Configured(configured.map(|state| states.keep(state)))
                }
                Ask::Hover { code, snapshot } => {
                    Reply::Explained(states.get(snapshot).and_then(|state| Ok(self.context.hover(&code, &state)?)))
                }
                Ask::Assist { assist, snapshot, within } => Reply::Assisted(
                    states.get(snapshot).and_then(|state| Ok(self.context.assist(&assist, &state, within)?)),
                ),
                // The first isn't said again, and interrupts are heard by another thread.
                Ask::Take { .. } | Ask::Interrupt => continue,
            };
            send(&mut kernel, &reply)?;
        }
    }

    /// What rust-analyzer knows is shared with the template until it looks at it again. It does so now, as long as nobody
    /// waits: the first cell and the first completion would be slower by that.
    fn while_idle(&mut self, asks: &Receiver<Ask>) -> Option<Ask> {
        if let Ok(ask) = asks.try_recv() {
            return Some(ask);
        }
        self.context.look(&self.base);
        None
    }

    fn eval(&mut self, code: &str, state: &State, lose: &[String]) -> Result<(State, Evaluated), Error> {
        let (after, to_run) = self.context.eval(code, state, lose)?;
        let to_run = to_run.map(|to_run| self.kept(to_run)).transpose()?;
        let variables = self.context.variables().map(|(name, of)| (name.to_owned(), of.to_owned())).collect();
        Ok((after, Evaluated { snapshot: 0, to_run, variables }))
    }

    /// The object under a name that no other process gives to one: where this one builds, another may have built before, whose
    /// objects workers still have.
    fn kept(&self, to_run: ToRun) -> Result<ToRun, Error> {
        let built = match to_run.object.strip_prefix(&self.place.name) {
            Ok(below) => self.folder.join(below),
            Err(_) => to_run.object,
        };
        let name = built.file_stem().unwrap_or_default().to_string_lossy();
        let object = built.with_file_name(format!("{name}-{}.so", std::process::id()));
        std::fs::rename(&built, &object)?;
        Ok(ToRun { object, entry: to_run.entry })
    }
}

/// What the kernel calls snapshots, by their numbers.
struct States {
    by_number: HashMap<u64, State>,
    last: u64,
}

impl States {
    fn get(&self, number: u64) -> Result<State, Error> {
        self.by_number.get(&number).cloned().ok_or_else(|| Error::from("this snapshot was forgotten"))
    }

    fn keep(&mut self, state: State) -> u64 {
        self.last += 1;
        self.by_number.insert(self.last, state);
        self.last
    }
}

/// Reads what the kernel asks, while something else is being done. When it is gone, so is this process.
fn hear(mut kernel: UnixStream, asks: &Sender<Ask>, interrupter: &Interrupter) {
    while let Ok(ask) = receive(&mut kernel) {
        match ask {
            Ask::Interrupt => interrupter.interrupt(),
            ask => {
                // What was interrupted is over, since this is asked after its answer.
                interrupter.reset();
                if asks.send(ask).is_err() {
                    break;
                }
            }
        }
    }
    kill_builds();
    process::leave(0)
}
