//! The kernel's end of a compiler's process: evcxr, reduced to what Chorus needs. A text is evaluated against a snapshot of
//! a namespace, and what comes out is an object, and another snapshot. Nothing is run by it.

use crate::messages::complaint::Error;
use crate::notebook::setting::Setting;
use crate::process::interrupt::Interrupter;
use crate::process::message::{Ask, Assist, Evaluated, Reply, ToRun, receive, send};
use chorus_analyzer::{Answer, Question, Source};
use chorus_system::{ProcessHandle, descriptors};
use parking_lot::Mutex;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{fmt, io};

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
    line: Arc<Line>,
    /// Where it builds.
    folder: PathBuf,
    interrupter: Interrupter,
    /// Whether something is being compiled, so that an interrupt is for it.
    busy: Arc<AtomicBool>,
}

/// The connection to it. One asks at a time, and waits for the answer.
struct Line {
    process: ProcessHandle,
    asks: Arc<Mutex<UnixStream>>,
    replies: Mutex<Replies>,
    unused: Arc<Mutex<Vec<u64>>>,
}

struct Replies {
    from: UnixStream,
    /// Why nothing can be asked any more.
    gone: Option<String>,
}

/// Completes and explains, also while the compiler's thread waits for a cell. Cloned freely; it is of no process until one
/// has started, and of the newest then.
#[derive(Clone, Default)]
pub struct Assistant(Arc<Mutex<Option<Asked>>>);

/// Who is asked, and about what.
type Asked = (Arc<Line>, Snapshot);

/// How long an answer is worth to be waited for.
#[derive(Clone, Copy, Debug)]
pub struct AssistLimits {
    /// Until nothing is compiled any more.
    pub turn: Duration,
    /// From then on.
    pub answer: Duration,
}

impl fmt::Debug for Assistant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Assistant").field(&self.is_there()).finish()
    }
}

impl Assistant {
    /// Whether there is a process to ask.
    pub fn is_there(&self) -> bool {
        self.0.lock().as_ref().is_some_and(|(line, _)| !line.process.has_ended())
    }

    /// Has this process asked from now on; its first snapshot is this.
    pub(crate) fn turn_to(&self, evaluator: &Evaluator, base: &Snapshot) {
        *self.0.lock() = Some((Arc::clone(&evaluator.line), base.clone()));
    }

    /// Completes or explains what stands at a place of a cell. Waits for so long if something is being compiled, and then for
    /// the answer.
    pub fn ask(&self, question: Question, source: Source, definitions: String, limits: AssistLimits) -> Answer {
        let failed = |why: &str| Answer::Failed(why.to_owned());
        let Some((line, base)) = self.0.lock().clone() else { return failed("no compiler's process has started yet") };
        let Some(mut replies) = line.replies.try_lock_for(limits.turn) else {
            return failed("a cell is being compiled");
        };
        let within = limits.answer;
        let assist = Assist { question, source, definitions };
        let ask = Ask::Assist { assist, snapshot: base.0.number, within };
        let patience = Patience { most: Some(within + PATIENCE), interrupter: None };
        match line.exchange(&mut replies, &ask, &patience) {
            Ok(Reply::Assisted(Ok(answer))) => answer,
            Ok(Reply::Assisted(Err(error))) | Err(error) => Answer::Failed(error.to_string()),
            Ok(other) => Answer::Failed(line.confused(&mut replies, &other).to_string()),
        }
    }
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
            move |still: &AtomicBool| {
                let mut asks = asks.lock();
                // What the next cell asks comes behind this, or this isn't sent.
                if busy.load(Ordering::SeqCst) && still.load(Ordering::SeqCst) {
                    // If it is gone, whoever waits for it is told.
                    let _ = send(&mut *asks, &Ask::Interrupt);
                }
            }
        });
        let replies = Mutex::new(Replies { from: connection, gone: None });
        let evaluator = Evaluator {
            line: Arc::new(Line { process, asks, replies, unused: Arc::default() }),
            folder: folder.to_owned(),
            interrupter: interrupter.clone(),
            busy,
        };
        let base = evaluator.snapshot(base);
        Ok((evaluator, base))
    }

    fn snapshot(&self, number: u64) -> Snapshot {
        Snapshot(Arc::new(Numbered { number, unused: Arc::clone(&self.line.unused) }))
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
        self.line.process.has_ended() || self.line.replies.lock().gone.is_some()
    }

    /// The folder that it builds in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What evcxr made of the text that it compiled last.
    pub fn generated_source(&self) -> String {
        // It is another text as long as a question is answered.
        let _answered = self.line.replies.lock();
        std::fs::read_to_string(self.folder.join("src/lib.rs")).unwrap_or_default()
    }

    fn ask(&mut self, ask: &Ask) -> Result<Reply, Error> {
        let mut replies = self.line.replies.lock();
        self.busy.store(true, Ordering::SeqCst);
        let patience = Patience { most: None, interrupter: Some(&self.interrupter) };
        let reply = self.line.exchange(&mut replies, ask, &patience);
        self.busy.store(false, Ordering::SeqCst);
        reply
    }

    fn confused(&mut self, reply: &Reply) -> Error {
        self.line.confused(&mut self.line.replies.lock(), reply)
    }
}

impl Drop for Evaluator {
    fn drop(&mut self) {
        // It ends with its connection. Not before it has ended may another one build where it did.
        let _ = self.line.asks.lock().shutdown(std::net::Shutdown::Both);
        if !descriptors::is_readable_within(&self.line.process, LEAVES_WITHIN) {
            self.line.process.kill();
            self.line.process.wait();
        }
    }
}

/// How long an answer is waited for. Then the process is taken for one that hangs.
struct Patience<'a> {
    most: Option<Duration>,
    /// Who says that the user has asked for an end.
    interrupter: Option<&'a Interrupter>,
}

impl Patience<'_> {
    fn was_interrupted(&self) -> bool {
        self.interrupter.is_some_and(Interrupter::was_asked)
    }
}

impl Line {
    fn exchange(&self, replies: &mut Replies, ask: &Ask, patience: &Patience<'_>) -> Result<Reply, Error> {
        if let Some(why) = &replies.gone {
            return Err(Error::Gone(why.clone()));
        }
        let unused = std::mem::take(&mut *self.unused.lock());
        let asked = (|| {
            let mut asks = self.asks.lock();
            if !unused.is_empty() {
                send(&mut *asks, &Ask::Forget(unused))?;
            }
            send(&mut *asks, ask)
        })();
        let reply = asked.and_then(|()| {
            // Whoever interrupted before there was anything to interrupt has left it to this thread.
            patience.was_interrupted().then(|| send(&mut *self.asks.lock(), &Ask::Interrupt)).transpose()?;
            self.wait(replies, patience)
        });
        reply.map_err(|error| {
            let why = format!("the compiler's process has ended: {error}");
            tracing::warn!("{why}");
            replies.gone = Some(why.clone());
            Error::Gone(why)
        })
    }

    fn wait(&self, replies: &mut Replies, patience: &Patience<'_>) -> io::Result<Reply> {
        let (begun, mut interrupted) = (Instant::now(), Duration::ZERO);
        while !descriptors::is_readable_within(&replies.from, LOOK) {
            if patience.was_interrupted() {
                interrupted += LOOK;
            }
            let hangs = match patience.most {
                _ if interrupted >= PATIENCE => "went on behind an interrupt",
                Some(most) if begun.elapsed() > most => "didn't answer a question",
                _ => continue,
            };
            self.process.kill();
            return Err(io::Error::other(format!("it {hangs}, and was killed")));
        }
        receive(&mut replies.from)
    }

    fn confused(&self, replies: &mut Replies, reply: &Reply) -> Error {
        let why = format!("the compiler's process answers another question: {reply:?}");
        replies.gone = Some(why.clone());
        Error::Gone(why)
    }
}
