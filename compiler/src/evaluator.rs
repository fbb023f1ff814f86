//! The kernel's end of a compiler's process: evcxr, reduced to what Chorus needs. A text is evaluated against a snapshot of
//! a namespace, and what comes out is an object, and another snapshot. Nothing is run by it.

use crate::complaint::Error;
use crate::interrupt::Interrupter;
use crate::process::message::{Ask, Evaluated, Reply, ToRun, receive, send};
use crate::setting::Setting;
use chorus_system::{ProcessHandle, descriptors};
use parking_lot::Mutex;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How soon an interrupted process must answer, before it is taken for one that hangs.
const PATIENCE: Duration = Duration::from_secs(10);
/// How soon it must be gone when nobody needs it any more.
const LEAVES_WITHIN: Duration = Duration::from_secs(2);
/// How often it is looked whether somebody has interrupted.
const LOOK: Duration = Duration::from_millis(200);

/// All that evcxr knows of a namespace at one moment: items, dependencies, settings, variables and their types.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot(Arc<Numbered>);

/// The process keeps it under a number until nobody here can name it any more.
#[derive(Debug)]
struct Numbered {
    number: u64,
    unused: Arc<Mutex<Vec<u64>>>,
}

impl Drop for Numbered {
    fn drop(&mut self) {
        self.unused.lock().push(self.number);
    }
}

/// What came of a text.
pub(crate) struct Compiled {
    pub snapshot: Snapshot,
    /// What is to be run, if anything is.
    pub to_run: Option<ToRun>,
    /// Names and types of all variables.
    pub variables: Vec<(String, String)>,
}

/// A compiler's process that has started.
pub(crate) struct Evaluator {
    process: ProcessHandle,
    asks: Arc<Mutex<UnixStream>>,
    replies: UnixStream,
    /// Where it builds.
    folder: PathBuf,
    interrupter: Interrupter,
    unused: Arc<Mutex<Vec<u64>>>,
    /// Why nothing can be asked any more.
    gone: Option<String>,
    /// Whether something is being compiled, so that an interrupt is for it.
    busy: Arc<AtomicBool>,
}

impl Evaluator {
    /// What has answered that it has started, in this process, with this number for the snapshot without variables.
    pub fn new(
        connection: UnixStream,
        (pid, base): (u32, u64),
        folder: &Path,
        interrupter: &Interrupter,
    ) -> io::Result<(Evaluator, Snapshot)> {
        let process = ProcessHandle::open(pid)?;
        let asks = Arc::new(Mutex::new(connection.try_clone()?));
        let busy = Arc::new(AtomicBool::new(false));
        interrupter.on_interrupt({
            let (asks, busy) = (Arc::clone(&asks), Arc::clone(&busy));
            move || {
                if busy.load(Ordering::SeqCst) {
                    // If it is gone, whoever waits for it is told.
                    let _ = send(&mut *asks.lock(), &Ask::Interrupt);
                }
            }
        });
        let unused = Arc::default();
        let evaluator = Evaluator {
            process,
            asks,
            replies: connection,
            folder: folder.to_owned(),
            interrupter: interrupter.clone(),
            unused,
            gone: None,
            busy,
        };
        let base = evaluator.snapshot(base);
        Ok((evaluator, base))
    }

    fn snapshot(&self, number: u64) -> Snapshot {
        Snapshot(Arc::new(Numbered { number, unused: Arc::clone(&self.unused) }))
    }

    /// Compiles `code` against `snapshot`, as if these variables of it couldn't be loaded.
    pub fn eval(&mut self, code: &str, snapshot: &Snapshot, lose: &[String]) -> Result<Compiled, Error> {
        let ask = Ask::Eval { code: code.to_owned(), snapshot: snapshot.0.number, lose: lose.to_vec() };
        match self.ask(&ask)? {
            Reply::Evaluated(Ok(Evaluated { snapshot, to_run, variables })) => {
                Ok(Compiled { snapshot: self.snapshot(snapshot), to_run, variables })
            }
            Reply::Evaluated(Err(error)) => Err(error),
            other => Err(self.confused(&other)),
        }
    }

    /// The snapshot with a setting changed. A dependency is looked up, which may use the network. With serde, px lets all
    /// types travel that derive serde's traits.
    pub fn configure(&mut self, snapshot: &Snapshot, setting: &Setting) -> Result<Snapshot, Error> {
        match self.ask(&Ask::Configure { snapshot: snapshot.0.number, setting: setting.clone() })? {
            Reply::Configured(result) => Ok(self.snapshot(result?)),
            other => Err(self.confused(&other)),
        }
    }

    /// Documentation of what stands at the end of `code`: text and markdown.
    pub fn hover(&mut self, code: &str, snapshot: &Snapshot) -> Result<(String, String), Error> {
        match self.ask(&Ask::Hover { code: code.to_owned(), snapshot: snapshot.0.number })? {
            Reply::Explained(result) => result,
            other => Err(self.confused(&other)),
        }
    }

    /// Whether its process has ended, and all its snapshots with it.
    pub fn is_gone(&self) -> bool {
        self.gone.is_some() || self.process.has_ended()
    }

    /// The folder that it builds in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What evcxr made of the text that it compiled last.
    pub fn generated_source(&self) -> String {
        std::fs::read_to_string(self.folder.join("src/lib.rs")).unwrap_or_default()
    }

    fn ask(&mut self, ask: &Ask) -> Result<Reply, Error> {
        if let Some(why) = &self.gone {
            return Err(Error::Gone(why.clone()));
        }
        let unused = std::mem::take(&mut *self.unused.lock());
        self.busy.store(true, Ordering::SeqCst);
        let asked = (|| {
            let mut asks = self.asks.lock();
            if !unused.is_empty() {
                send(&mut *asks, &Ask::Forget(unused))?;
            }
            send(&mut *asks, ask)
        })();
        let reply = asked.and_then(|()| {
            // Whoever interrupted before there was anything to interrupt has left it to this thread.
            self.interrupter.was_asked().then(|| send(&mut *self.asks.lock(), &Ask::Interrupt)).transpose()?;
            self.wait()
        });
        self.busy.store(false, Ordering::SeqCst);
        reply.map_err(|error| {
            let why = format!("the compiler's process has ended: {error}");
            tracing::warn!("{why}");
            self.gone = Some(why.clone());
            Error::Gone(why)
        })
    }

    /// Waits for an answer. A process that hangs is killed when the user has asked for an end.
    fn wait(&mut self) -> io::Result<Reply> {
        let mut waited = Duration::ZERO;
        while !descriptors::is_readable_within(&self.replies, LOOK) {
            if self.interrupter.was_asked() {
                waited += LOOK;
            }
            if waited >= PATIENCE {
                self.process.kill();
                return Err(io::Error::other("it went on behind an interrupt, and was killed"));
            }
        }
        receive(&mut self.replies)
    }

    fn confused(&mut self, reply: &Reply) -> Error {
        let why = format!("the compiler's process answers another question: {reply:?}");
        self.gone = Some(why.clone());
        Error::Gone(why)
    }
}

impl Drop for Evaluator {
    fn drop(&mut self) {
        // It ends with its connection. Not before it has ended may another one build where it did.
        let _ = self.replies.shutdown(std::net::Shutdown::Both);
        if !descriptors::is_readable_within(&self.process, LEAVES_WITHIN) {
            self.process.kill();
            self.process.wait();
        }
    }
}
