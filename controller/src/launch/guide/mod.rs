//! Engines as tasks of a running Dask or Ray cluster. Both are reached by Python only, so a Python program of ours, the guide,
//! stays beside this process, has the tasks run, and tells what becomes of them. Each is an outpost, which lasts as long as
//! its task. Program and invitation go through Dask or Ray.

use super::bringing::Program;
use super::distant::{Provider, Site};
use super::{Launch, in_queue, last_lines};
use chorus_remote::outpost::{FAILED, JOINED};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, oneshot};

/// What both kinds have in common; it stands behind the text of one.
const COMMON: &str = include_str!("guide.py");

/// So much of what a guide has written to standard error is kept.
const SAID: usize = 16 << 10;

/// So long after a guide whose cluster hasn't answered there is no other one.
const AGAIN: Duration = Duration::from_secs(60);

/// What has tasks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Dask's scheduler.
    Dask,
    /// Ray.
    Ray,
}

impl Kind {
    /// As after `--on`.
    pub fn named(name: &str) -> Option<Kind> {
        match name {
            "dask" => Some(Kind::Dask),
            "ray" => Some(Kind::Ray),
            _ => None,
        }
    }

    /// Its name in sentences.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Dask => "Dask",
            Kind::Ray => "Ray",
        }
    }

    /// What its hosts are as a user is told.
    pub(super) fn a_node(self) -> &'static str {
        match self {
            Kind::Dask => "a worker of Dask's",
            Kind::Ray => "a node of Ray's",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Kind::Dask => include_str!("dask.py"),
            Kind::Ray => include_str!("ray.py"),
        }
    }
}

/// What has tasks run, and what it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guide {
    /// Which kind.
    pub kind: Kind,
    /// Where it is reached; Ray finds it out when left out.
    pub address: Option<String>,
    /// A Python that has its package, and options.
    pub command: Vec<String>,
    /// How many cores a task gets.
    pub cores: Option<u32>,
    /// How many bytes of memory.
    pub memory: Option<u64>,
}

impl Guide {
    pub(super) fn into_provider(self, launch: Launch, cluster: &str) -> GuideProvider {
        GuideProvider { guide: self, launch, cluster: cluster.to_owned(), running: tokio::sync::Mutex::default() }
    }

    /// The words that run a guide, whose text comes first on standard input: it is too long for a list of processes.
    fn words(&self, text: &str) -> Vec<String> {
        let read = format!("import sys; exec(compile(sys.stdin.buffer.read({}), 'chorus-guide', 'exec'))", text.len());
        self.command.iter().cloned().chain(["-c".to_owned(), read]).collect()
    }

    /// What the guide is told at first.
    fn spec(&self, launch: &Launch, program: &Program, cluster: &str) -> Value {
        json!({
            "address": self.address.as_deref().unwrap_or_default(),
            "job": format!("chorus-{cluster}"),
            "program": program.path(),
            "hash": program.hash(),
            "file": program.file_name(),
            "script": format!("{}exec {}", launch.setup_command(), launch.outpost_command("\"$1\"")),
            "cores": self.cores,
            "memory": self.memory,
            "joined": JOINED,
            "failed": FAILED,
        })
    }
}

/// How many bytes a size is: `4GB` are 4 billion, `4GiB` are 4 times 1024 cubed.
pub fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = text.split_at(text.find(|it: char| it.is_ascii_alphabetic()).unwrap_or(text.len()));
    let factor = match unit.to_ascii_lowercase().trim_end_matches('b') {
        "" => Some(1.0),
        "k" => Some(1e3),
        "m" => Some(1e6),
        "g" => Some(1e9),
        "t" => Some(1e12),
        "ki" => Some(1024.0),
        "mi" => Some(1024.0 * 1024.0),
        "gi" => Some(1024.0 * 1024.0 * 1024.0),
        "ti" => Some(1024.0 * 1024.0 * 1024.0 * 1024.0),
        _ => None,
    };
    let bytes = factor.and_then(|factor| Some(number.trim().parse::<f64>().ok()? * factor));
    // Nobody has an exabyte; so it is exact enough, and fits.
    let bytes = bytes.filter(|it| *it >= 1.0 && *it < 1e18);
    bytes.map(|it| it as u64).ok_or_else(|| format!("`{text}` is no size: write `4GB`, or `4GiB`"))
}

#[derive(Debug)]
pub(super) struct GuideProvider {
    guide: Guide,
    launch: Launch,
    cluster: String,
    /// The guide, if one has been started. It may have ended.
    running: tokio::sync::Mutex<Option<Arc<Running>>>,
}

impl Provider for GuideProvider {
    fn bring<'a>(&'a self, site: Site<'a>) -> BoxFuture<'a, Result<(), String>> {
        async move {
            let running = self.running().await?;
            let invitation = self.launch.invitation(site.gateway, site.place, &running.hash, None)?;
            let (mut task, failed) = running.start(&invitation)?;
            tokio::select! {
                joined = site.arrived => {
                    // Nobody tells when nobody waits any more.
                    task.has_joined = joined.is_ok();
                    Ok(())
                }
                why = failed => Err(why.unwrap_or_else(|_| "it hasn't joined".to_owned())),
            }
        }
        .boxed()
    }

    fn queue(&self) -> BoxFuture<'_, Option<String>> {
        async move {
            let running = self.running.lock().await.clone()?;
            let tasks = running.tasks.lock();
            let waiting = tasks.waiting.values().filter_map(|it| it.waits.as_ref());
            in_queue(&format!("{}'s queue", self.guide.kind.title()), waiting.map(|why| why.as_deref()))
        }
        .boxed()
    }
}

impl GuideProvider {
    /// The guide that runs.
    async fn running(&self) -> Result<Arc<Running>, String> {
        let mut running = self.running.lock().await;
        if let Some(running) = &*running {
            let tasks = running.tasks.lock();
            match &tasks.ended {
                None => return Ok(Arc::clone(running)),
                // The next one would wait as long for nothing.
                Some(why) if !tasks.is_ready && running.begun.elapsed() < AGAIN => return Err(why.clone()),
                Some(_) => {}
            }
        }
        let program = Program::read(&self.launch).await?;
        let text = format!("{}{COMMON}", self.guide.kind.text());
        let spec = self.guide.spec(&self.launch, &program, &self.cluster);
        let words = self.guide.words(&text);
        let started = Running::start_one(&words, &format!("{text}{spec}\n"), program.hash());
        let started =
            started.map_err(|error| format!("`{}` can't be started: {error}", self.guide.command.join(" ")))?;
        Ok(Arc::clone(running.insert(Arc::new(started))))
    }
}

/// A guide that runs. Its end of input is when this is dropped.
#[derive(Debug)]
struct Running {
    lines: mpsc::UnboundedSender<String>,
    tasks: Arc<Mutex<Tasks>>,
    begun: Instant,
    /// That of the program that it has.
    hash: String,
}

#[derive(Debug, Default)]
struct Tasks {
    /// How many there were.
    count: u64,
    waiting: BTreeMap<u64, Waiting>,
    /// The cluster has answered.
    is_ready: bool,
    /// Why the guide isn't there any more.
    ended: Option<String>,
}

/// A task whose outpost hasn't joined.
#[derive(Debug)]
struct Waiting {
    failed: oneshot::Sender<String>,
    /// It waits for its turn, and perhaps for what.
    waits: Option<Option<String>>,
}

/// What a guide says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    Ready(bool),
    Waits(u64, Option<String>),
    Begun(u64),
    Ended(u64, Option<String>),
    Failed(String),
}

impl Tasks {
    fn hear(&mut self, said: Said) {
        match said {
            Said::Ready(is_ready) => self.is_ready = is_ready,
            Said::Waits(task, reason) => {
                if let Some(task) = self.waiting.get_mut(&task) {
                    task.waits = Some(reason);
                }
            }
            Said::Begun(task) => {
                if let Some(task) = self.waiting.get_mut(&task) {
                    task.waits = None;
                }
            }
            Said::Ended(task, why) => {
                if let Some(task) = self.waiting.remove(&task) {
                    // Nobody listens for one that has joined.
                    _ = task.failed.send(why.unwrap_or_else(|| "its outpost has joined and left".to_owned()));
                }
            }
            Said::Failed(why) => self.end(why),
        }
    }

    /// The guide is gone, or about to.
    fn end(&mut self, why: String) {
        let why = self.ended.get_or_insert(why);
        for task in std::mem::take(&mut self.waiting).into_values() {
            _ = task.failed.send(why.clone());
        }
    }
}

/// A task that was asked for. Dropping it says what became of that.
struct Task {
    number: u64,
    running: Arc<Running>,
    has_joined: bool,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.running.tasks.lock().waiting.remove(&self.number);
        let what = if self.has_joined { "joined" } else { "drop" };
        // If the guide is gone, so are its tasks that wait.
        _ = self.running.lines.send(format!("{}\n", json!({ what: self.number })));
    }
}

impl Running {
    fn start_one(words: &[String], first: &str, hash: &str) -> io::Result<Running> {
        let (program, args) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // An interrupt of the notebook isn't meant for it. With the end of its input it ends by itself.
            .process_group(0)
            .spawn()?;
        let (lines, inbox) = mpsc::unbounded_channel();
        _ = lines.send(first.to_owned());
        if let Some(stdin) = child.stdin.take() {
            tokio::spawn(write(inbox, stdin));
        }
        let tasks = Arc::<Mutex<Tasks>>::default();
        tokio::spawn(listen(child, program.clone(), Arc::clone(&tasks)));
        Ok(Running { lines, tasks, begun: Instant::now(), hash: hash.to_owned() })
    }

    fn start(self: &Arc<Self>, invitation: &str) -> Result<(Task, oneshot::Receiver<String>), String> {
        let mut tasks = self.tasks.lock();
        if let Some(why) = &tasks.ended {
            return Err(why.clone());
        }
        let (failed, fails) = oneshot::channel();
        tasks.count += 1;
        let number = tasks.count;
        tasks.waiting.insert(number, Waiting { failed, waits: Some(None) });
        // If it has ended just now, that is told in a moment.
        _ = self.lines.send(format!("{}\n", json!({ "start": number, "invitation": invitation })));
        Ok((Task { number, running: Arc::clone(self), has_joined: false }, fails))
    }
}

/// Writes what is said to a guide, until nobody says anything any more.
async fn write(mut inbox: mpsc::UnboundedReceiver<String>, mut stdin: ChildStdin) {
    while let Some(line) = inbox.recv().await {
        // When it has ended, that is found out by its output.
        _ = stdin.write_all(line.as_bytes()).await;
    }
}

/// Hears what a guide says, until it has ended.
async fn listen(mut child: Child, program: String, tasks: Arc<Mutex<Tasks>>) {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let heard = async {
        let Some(stdout) = stdout else { return };
        let mut lines = BufReader::new(stdout).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            match serde_json::from_str(&line) {
                Ok(said) => tasks.lock().hear(said),
                Err(error) => tracing::warn!(line, %error, "a guide has said something else"),
            }
        }
    };
    let (said, ()) = tokio::join!(end_of(stderr), heard);
    _ = child.wait().await;
    let said = Some(last_lines(&said)).filter(|it| !it.is_empty());
    tasks.lock().end(format!("{program} has ended: {}", said.as_deref().unwrap_or("it said nothing")));
}

/// Reads all, and returns the last of it.
async fn end_of(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let (mut last, mut buffer) = (Vec::new(), vec![0; SAID]);
    let Some(mut stream) = stream else { return last };
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        last.extend_from_slice(&buffer[..read]);
        last.drain(..last.len().saturating_sub(SAID));
    }
    last
}

#[cfg(test)]
mod tests;
