//! The analyzer's process: started when it is first needed, asked with a deadline, ended when nobody needs it.
//!
//! Whatever is wrong with it, whoever asks hears nothing worse than that there is no answer, and the next question
//! finds a fresh process.

use chorus_analyzer::{Answer, Question, Reply, Request, Source};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout_at};

/// How long is too long.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// For a question that the standard library or dependencies have to be read for.
    loading: Duration,
    /// For completions, as long as such are read: JupyterLab and consoles drop what comes after a second, so a list of
    /// names in time is worth more.
    popup: Duration,
    /// For any other question.
    usual: Duration,
    /// A process that owes an answer for so long won't give it.
    hung: Duration,
    /// A process that nobody asked for so long is ended: it has some hundred megabytes.
    idle: Duration,
}

const LIMITS: Limits = Limits {
    loading: Duration::from_secs(8),
    popup: Duration::from_millis(800),
    usual: Duration::from_secs(2),
    hung: Duration::from_secs(60),
    idle: Duration::from_secs(600),
};

impl Limits {
    /// For a question that something may have to be read for.
    fn of(&self, question: &Question) -> Duration {
        match question {
            Question::Complete => self.popup,
            Question::Hover { .. } => self.loading,
        }
    }
}

/// Asks the analyzer. Cloned freely.
#[derive(Clone)]
pub(super) struct Analyzer(Arc<Inner>);

struct Inner {
    program: PathBuf,
    args: Vec<OsString>,
    folder: PathBuf,
    limits: Limits,
    process: Mutex<Option<Process>>,
}

struct Process {
    child: Child,
    requests: ChildStdin,
    replies: Lines<BufReader<ChildStdout>>,
    last_id: u64,
    /// The dependencies that were there at its last answer; it loads others first.
    loaded: Option<Vec<String>>,
    used: Instant,
    /// Since when an answer is owed.
    owes: Option<Instant>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("it can't be started: {0}")]
    Start(std::io::Error),
    #[error("it is gone: {0}")]
    Gone(std::io::Error),
    #[error("its answer makes no sense: {0}")]
    Nonsense(#[from] serde_json::Error),
    #[error("it took too long")]
    TooLong,
}

impl Analyzer {
    /// `program args... FOLDER` is the analyzer of the notebook whose builds are in `folder`.
    pub(super) fn new(program: PathBuf, args: Vec<OsString>, folder: PathBuf) -> Analyzer {
        Analyzer(Arc::new(Inner { program, args, folder, limits: LIMITS, process: Mutex::new(None) }))
    }

    /// The answer, unless it takes too long or there is none.
    pub(super) async fn ask(
        &self,
        question: Question,
        source: &Source,
        dependencies: &[String],
        toolchain: Option<String>,
    ) -> Option<Answer> {
        let asked = Instant::now();
        let mut held = timeout_at(asked + self.0.limits.of(&question), self.0.process.lock()).await.ok()?;
        let request =
            Request { id: 0, question, source: source.clone(), dependencies: dependencies.to_vec(), toolchain };
        match self.exchange(&mut held, request, asked).await {
            Ok(Answer::Failed(reason)) => {
                tracing::info!("the analyzer has no answer: {reason}");
                None
            }
            Ok(answer) => Some(answer),
            Err(AskError::TooLong) => {
                tracing::info!("the analyzer took too long");
                None
            }
            Err(error) => {
                tracing::warn!("the analyzer failed, and is started again when it is needed: {error}");
                *held = None;
                None
            }
        }
    }

    async fn exchange(
        &self,
        held: &mut Option<Process>,
        mut request: Request,
        asked: Instant,
    ) -> Result<Answer, AskError> {
        let limits = self.0.limits;
        let gone = |process: &mut Process| process.child.try_wait().is_ok_and(|status| status.is_some());
        if held
            .as_mut()
            .is_some_and(|process| gone(process) || process.owes.is_some_and(|since| since.elapsed() > limits.hung))
        {
            *held = None;
        }
        let process = match held {
            Some(process) => process,
            None => {
                let process = held.insert(self.0.start().map_err(AskError::Start)?);
                tokio::spawn(end_when_idle(Arc::downgrade(&self.0), process.child.id()));
                process
            }
        };
        process.last_id += 1;
        request.id = process.last_id;
        let is_loaded = process.loaded.as_ref() == Some(&request.dependencies);
        let limit = if is_loaded { limits.usual } else { limits.of(&request.question) };
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        // It reads at once, whatever it does otherwise; a line that was written in part would spoil the next.
        let written = timeout_at(asked + limits.loading, process.requests.write_all(&line)).await;
        written.map_err(|_| AskError::Gone(std::io::ErrorKind::TimedOut.into()))?.map_err(AskError::Gone)?;
        process.used = Instant::now();
        process.owes.get_or_insert(process.used);
        loop {
            let line = timeout_at(asked + limit, process.replies.next_line()).await.map_err(|_| AskError::TooLong)?;
            let line = line.and_then(|line| line.ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into()));
            let reply: Reply = serde_json::from_str(&line.map_err(AskError::Gone)?)?;
            // An earlier one is the answer to somebody who has given up.
            if reply.id == request.id {
                process.owes = None;
                process.loaded = Some(request.dependencies);
                return Ok(reply.answer);
            }
        }
    }
}

impl Inner {
    fn start(&self) -> std::io::Result<Process> {
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .arg(&self.folder)
            .envs(chorus_compiler::for_analyzer(&self.folder))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A console's Ctrl-C isn't meant for it. It ends when its stdin does.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let (Some(requests), Some(replies)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        };
        Ok(Process {
            child,
            requests,
            replies: BufReader::new(replies).lines(),
            last_id: 0,
            loaded: None,
            used: Instant::now(),
            owes: None,
        })
    }
}

/// Ends the process of this id when nobody has asked it for long.
async fn end_when_idle(analyzer: Weak<Inner>, id: Option<u32>) {
    let mut used = Instant::now();
    while let Some(idle) = analyzer.upgrade().map(|analyzer| analyzer.limits.idle) {
        sleep_until(used + idle).await;
        let Some(analyzer) = analyzer.upgrade() else { return };
        let mut held = analyzer.process.lock().await;
        let Some(process) = held.as_ref().filter(|process| process.child.id() == id) else { return };
        used = process.used;
        if used.elapsed() >= idle {
            tracing::debug!("nobody asked the analyzer for long: it is ended");
            *held = None;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An analyzer that is a shell script.
    fn script(text: &str, limits: Limits) -> Analyzer {
        let (args, folder) = (vec!["-c".into(), text.into()], std::env::temp_dir());
        Analyzer(Arc::new(Inner { program: "sh".into(), args, folder, limits, process: Mutex::new(None) }))
    }

    async fn ask(analyzer: &Analyzer) -> Option<Answer> {
        analyzer.ask(Question::Complete, &Source::default(), &[], None).await
    }

    async fn id(analyzer: &Analyzer) -> Option<u32> {
        analyzer.0.process.lock().await.as_ref().and_then(|process| process.child.id())
    }

    #[tokio::test]
    async fn a_process_that_dies_is_started_again() {
        let analyzer = script(r#"read line; echo '{"id":1,"answer":{"Hover":null}}'; exit 1"#, LIMITS);
        for _ in 0..3 {
            let mut answer = ask(&analyzer).await;
            if answer.is_none() {
                // It was still about to end; that was noticed now.
                answer = ask(&analyzer).await;
            }
            assert_eq!(answer, Some(Answer::Hover(None)));
        }
        assert_eq!(ask(&script("exit 0", LIMITS)).await, None);
        assert_eq!(ask(&script("read line; echo nonsense", LIMITS)).await, None);
        let nothing = Analyzer::new("/nonexistent".into(), Vec::new(), std::env::temp_dir());
        assert_eq!(ask(&nothing).await, None);
    }

    #[tokio::test]
    async fn late_answers_are_dropped_and_a_hung_process_is_replaced() {
        let answers = r#"echo '{"id":1,"answer":{"Failed":""}}'; echo '{"id":2,"answer":{"Hover":null}}'"#;
        let limits = Limits { loading: Duration::from_secs(1), ..LIMITS };
        let late = script(&format!("read line; read line; {answers}; read line"), limits);
        assert_eq!(ask(&late).await, None, "it waits for a second question");
        let first = id(&late).await;
        assert_eq!(ask(&late).await, Some(Answer::Hover(None)));
        assert_eq!(id(&late).await, first);
        if let Some(process) = late.0.process.lock().await.as_mut() {
            process.owes = Instant::now().checked_sub(LIMITS.hung * 2);
        }
        assert_eq!(ask(&late).await, None);
        assert_ne!(id(&late).await, first);
    }

    #[tokio::test]
    async fn a_process_that_nobody_asks_is_ended() {
        let limits = Limits { idle: Duration::from_millis(50), ..LIMITS };
        let analyzer = script(r#"read line; echo '{"id":1,"answer":{"Hover":null}}'; read line"#, limits);
        assert_eq!(ask(&analyzer).await, Some(Answer::Hover(None)));
        let deadline = Instant::now() + Duration::from_secs(10);
        while id(&analyzer).await.is_some() {
            assert!(Instant::now() < deadline, "waited for the idle process to be ended");
            tokio::task::yield_now().await;
        }
    }
}
