//! The run itself: one select loop a cell over the kernel's publications, its reply, its questions, its death, the
//! clock and the user's Ctrl-C.

use super::document::{CodeCell, Document};
use super::outputs::{Change, Outputs};
use super::parameters::Unknown;
use super::process::KernelProcess;
use super::report::{CellReport, Outcome, Report, title};
use super::screen::Screen;
use super::{Ask, Ending, Finished, Output, RunError, RunOptions, Setting, files, folder_of, write_atomically};
use chorus_jupyter::content::ExecuteRequest;
use chorus_jupyter::{Channel, ClientError, ConnectionInfo, KernelClient, Message, PendingReply};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long the kernel has from its start until it answers.
const READY: Duration = Duration::from_secs(60);

/// How long a cell that is over its time has after the interrupt, before the kernel is killed.
const AFTER_INTERRUPT: Duration = Duration::from_secs(2);

/// So many cells wait in the kernel, which compiles them while one runs.
const AHEAD: usize = 16;

/// How long the kernel has to shut down.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Runs a notebook. Ctrl-C interrupts the running cell and ends the run; a second one, or SIGTERM, kills the kernel.
pub async fn run(options: RunOptions) -> Result<Finished, RunError> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (stops, stop) = mpsc::channel(4);
    let watching = tokio::spawn(async move {
        loop {
            let wish = tokio::select! {
                _ = interrupt.recv() => Stop::Interrupt,
                _ = terminate.recv() => Stop::Kill,
            };
            if stops.send(wish).await.is_err() {
                return;
            }
        }
    });
    let finished = run_until(options, stop).await;
    watching.abort();
    finished
}

/// What the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// End the running cell; the second time, the kernel.
    Interrupt,
    /// End the kernel.
    Kill,
}

/// The same, with the user's wishes from a channel.
pub(super) async fn run_until(options: RunOptions, stop: mpsc::Receiver<Stop>) -> Result<Finished, RunError> {
    let started = Instant::now();
    let RunOptions { notebook, output, parameters, engines, timeout, allow_errors, .. } = options;
    let RunOptions { times, junit, json, kernel, out, err, terminal, ask, .. } = options;
    let to_stdout = output == Some(Output::Stdout);
    let (page, shown_on) = if to_stdout { (Some(out), None) } else { (None, Some(out)) };
    let mut screen = Screen::new(shown_on, err, terminal.filter(|_| !to_stdout));

    let mut document = Document::read(&notebook)?;
    let injected = match parameters.is_empty() {
        true => None,
        false => Some(inject(&mut document, &parameters)?),
    };
    let executed = match &output {
        Some(Output::File(path)) => Some(path.as_path()),
        _ => None,
    };
    // Better said now than after an hour of computing.
    files::check(&notebook, executed, junit.as_deref(), json.as_deref())?;
    if let Some(language) = document.language().filter(|language| !language.eq_ignore_ascii_case("rust")) {
        screen.note(&format!("warning: {} is a notebook in {language}, not in Rust", notebook.display()))?;
    }
    document.prepare();
    let cells = document.code_cells();

    let sockets = tempfile::Builder::new().prefix("chorus-run-").tempdir().map_err(RunError::Folder)?;
    // Unix sockets in a private folder leave no port for others to take; TCP when the folder's path is too long.
    let info = match ConnectionInfo::ipc(sockets.path()) {
        Some(info) => info,
        None => ConnectionInfo::local_tcp()?,
    };
    let file = sockets.path().join("connection.json");
    info.write(&file)?;
    let process = KernelProcess::start(&kernel, &file, engines, folder_of(&notebook)).map_err(|source| {
        let program = kernel.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default();
        RunError::Start { program, source }
    })?;

    let mut run = Run {
        process,
        stop,
        timeout,
        allow_errors,
        ask,
        screen,
        took: Vec::new(),
        killed: false,
        outputs: Outputs::default(),
        parents: HashMap::new(),
        early: Vec::new(),
        kernel_info: Value::Null,
    };
    let finished = run.all(&info, &cells).await?;

    document.ran_in(&run.kernel_info, crate::install::kernelspec());
    for (cell, record) in cells.iter().zip(run.outputs.cells()) {
        document.record(cell.index, record);
    }
    let reports = run.reports(&cells, &finished.ending);
    let report = Report { cells: reports, finished: finished.clone(), took: started.elapsed(), injected };
    if times {
        run.screen.note(&report.times())?;
    }
    let written = |path: &Path, source| RunError::Write { path: path.to_owned(), source };
    let text = document.to_bytes().map_err(|error| written(&notebook, error.into()))?;
    if let Some(mut page) = page {
        page.write_all(&text).and_then(|()| page.flush()).map_err(|source| written(Path::new("stdout"), source))?;
    } else if let Some(Output::File(path)) = &output {
        write_atomically(path, &text).map_err(|source| written(path, source))?;
    }
    let write = |path: &Path, text: String| {
        write_atomically(path, text.as_bytes()).map_err(|source| RunError::Report { path: path.to_owned(), source })
    };
    junit.map_or(Ok(()), |path| write(&path, report.junit(&notebook)))?;
    json.map_or(Ok(()), |path| write(&path, format!("{:#}\n", report.json(&notebook))))?;
    Ok(finished)
}

/// Puts the cell with parameters in its place; says its text.
fn inject(document: &mut Document, settings: &[Setting]) -> Result<String, RunError> {
    let definitions = document.definitions().map_err(|error| RunError::Parameters(error.to_string()))?;
    let text = definitions.injected("Parameters", settings, Unknown::Refused).map_err(|errors| {
        RunError::Parameters(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })?;
    document.inject(&text);
    Ok(text)
}

/// A run under way.
struct Run {
    process: KernelProcess,
    stop: mpsc::Receiver<Stop>,
    timeout: Option<Duration>,
    allow_errors: bool,
    ask: Option<Ask>,
    screen: Screen,
    /// How the cells that ran ended, and after how long.
    took: Vec<(Ending, Duration)>,
    /// Whether we have killed the kernel.
    killed: bool,
    outputs: Outputs,
    /// What the kernel said of itself.
    kernel_info: Value,
    /// Which cell each request ran, since outputs may come when the next one runs already.
    parents: HashMap<String, usize>,
    /// What was published of cells that we don't know to have begun, since the reply of the one before is still to come.
    early: Vec<Message>,
}

impl Run {
    async fn all(&mut self, info: &ConnectionInfo, cells: &[CodeCell]) -> Result<Finished, RunError> {
        let of = cells.len();
        let connected = tokio::select! {
            client = KernelClient::connect(info, READY) => match client {
                Ok(client) => Ok(client),
                Err(error) => Err(Ending::KernelDied(self.death_behind(error.into()).await?)),
            },
            death = self.process.death() => Err(Ending::KernelDied(death)),
            Some(_) = self.stop.recv() => Err(Ending::Interrupted),
        };
        let mut client = match connected {
            Ok(client) => client,
            Err(ending) => {
                self.process.kill().await;
                return self.report(Finished { ending, ran: 0, of });
            }
        };
        self.kernel_info = client.kernel_info().clone();
        let mut finished = Finished { ending: Ending::Complete, ran: 0, of };
        let (mut to_send, mut sent) = (cells.iter().enumerate(), VecDeque::new());
        for cell in cells {
            while sent.len() < AHEAD
                && let Some((number, next)) = to_send.next()
            {
                sent.push_back(self.send(&mut client, next, number).await);
            }
            let Some(pending) = sent.pop_front() else { break };
            finished.ran += 1;
            self.screen.begin(finished.ran, of, &cell.source)?;
            let record = self.outputs.begin();
            let begun = Instant::now();
            let ending = match self.cell(&mut client, pending, record).await {
                Err(error @ RunError::Client(_)) => {
                    let death = self.death_behind(error).await?;
                    self.died(&mut client, record, death).await?
                }
                ending => ending?,
            };
            self.took.push((ending.clone(), begun.elapsed()));
            if let Some(cell) = self.outputs.cell(record) {
                self.screen.finish(&mut cell.outputs)?;
            }
            let goes_on = match ending {
                Ending::Complete => true,
                Ending::Failed => cell.may_fail || self.allow_errors,
                Ending::TimedOut => self.allow_errors && !self.killed,
                Ending::Interrupted | Ending::KernelDied(_) => false,
            };
            if !goes_on {
                finished.ending = ending;
                break;
            }
        }
        self.shut_down(&mut client).await;
        self.report(finished)
    }

    /// Has the kernel run a cell behind those that it has already. If it fails, they aren't run, unless that is expected.
    async fn send(
        &mut self,
        client: &mut KernelClient,
        cell: &CodeCell,
        number: usize,
    ) -> Result<PendingReply, RunError> {
        let stop_on_error = !cell.may_fail && !self.allow_errors;
        let allow_stdin = self.ask.is_some();
        let request = ExecuteRequest { allow_stdin, stop_on_error, ..ExecuteRequest::new(&cell.source) };
        let pending = client.execute(&request).await?;
        self.parents.insert(pending.msg_id().to_owned(), number);
        Ok(pending)
    }

    /// Waits until the cell's reply is here and the kernel is idle again, or there is no more hope for that.
    async fn cell(
        &mut self,
        client: &mut KernelClient,
        pending: Result<PendingReply, RunError>,
        record: usize,
    ) -> Result<Ending, RunError> {
        let mut pending = pending?;
        let id = pending.msg_id().to_owned();
        let (answers, mut answered) = mpsc::channel(1);
        let mut deadline = self.timeout.map(|time| Instant::now() + time);
        let mut stopping = None;
        let mut reply = None;
        let mut idle = false;
        for message in std::mem::take(&mut self.early) {
            idle |= self.take(message, record)?.as_deref() == Some(&id);
        }
        while reply.is_none() || !idle {
            tokio::select! {
                message = client.iopub.recv() => {
                    idle |= self.take(message.ok_or(ClientError::Lost)?, record)?.as_deref() == Some(&id);
                }
                message = &mut pending, if reply.is_none() => {
                    let message: Message = message?;
                    let date = message.header.0.get("date").and_then(Value::as_str);
                    self.outputs.note_time(record, message.msg_type(), &message.content, date);
                    reply = Some(message);
                }
                Some(question) = client.stdin.recv() => self.ask(question, &answers)?,
                Some((question, text)) = answered.recv() => {
                    let question: Message = question;
                    let text: String = text;
                    client.answer_input(&question, &text).await?;
                }
                death = self.process.death() => return self.died(client, record, death).await,
                () = until(deadline) => match stopping {
                    None => {
                        stopping = Some(Ending::TimedOut);
                        deadline = Some(Instant::now() + AFTER_INTERRUPT);
                        interrupt(client).await?;
                    }
                    Some(ending) => return self.kill(record, ending).await,
                },
                Some(wish) = self.stop.recv() => match (stopping.take(), wish) {
                    (None, Stop::Interrupt) => {
                        stopping = Some(Ending::Interrupted);
                        deadline = None;
                        interrupt(client).await?;
                    }
                    (before, _) => return self.kill(record, before.unwrap_or(Ending::Interrupted)).await,
                },
            }
        }
        let content = reply.map_or(Value::Null, |reply: Message| reply.content);
        if let Some(cell) = self.outputs.cell(record) {
            cell.execution_count = cell.execution_count.or_else(|| content.get("execution_count")?.as_u64());
        }
        let failed = content.get("status").is_none_or(|status| status != "ok");
        if failed && !self.outputs.has_error(record) {
            self.add_error(record, &content)?;
        }
        if stopping == Some(Ending::TimedOut) {
            let evalue = format!("the cell took longer than {} and was interrupted", self.longest());
            self.add_error(record, &json!({"ename": "TimedOut", "evalue": evalue}))?;
        }
        Ok(match stopping {
            Some(ending) => ending,
            None if failed => Ending::Failed,
            None => Ending::Complete,
        })
    }

    /// Takes in a publication, of the running cell or late from an earlier one; says which request is over, if it is a status
    /// `idle`.
    fn take(&mut self, message: Message, running: usize) -> Result<Option<String>, RunError> {
        let Some(&cell) = message.parent_id().and_then(|id| self.parents.get(id)) else { return Ok(None) };
        if cell > running {
            self.early.push(message);
            return Ok(None);
        }
        let change = self.outputs.apply(cell, message.msg_type(), &message.content);
        let date = message.header.0.get("date").and_then(Value::as_str);
        self.outputs.note_time(cell, message.msg_type(), &message.content, date);
        if let Some(record) = self.outputs.cell(cell) {
            match change {
                change if cell == running => self.screen.change(change, &mut record.outputs)?,
                Change::Added(piece) => self.screen.show(&piece)?,
                _ => {}
            }
        }
        let is_idle = message.msg_type() == "status" && message.content["execution_state"] == "idle";
        Ok(message.parent_id().filter(|_| is_idle).map(str::to_owned))
    }

    /// How the kernel died, since it can't be talked to: its connections break before its process is seen to end.
    /// If it lives, all that is known is the error.
    async fn death_behind(&mut self, error: RunError) -> Result<String, RunError> {
        tokio::select! {
            death = self.process.death() => Ok(death),
            () = tokio::time::sleep(SHUTDOWN) => Err(error),
            Some(_) = self.stop.recv() => Err(error),
        }
    }

    /// The kernel died in this cell. What it published before its end counts.
    async fn died(&mut self, client: &mut KernelClient, record: usize, death: String) -> Result<Ending, RunError> {
        let soon = Duration::from_millis(100);
        while let Ok(Some(message)) = tokio::time::timeout(soon, client.iopub.recv()).await {
            self.take(message, record)?;
        }
        self.add_error(record, &json!({"ename": "KernelDied", "evalue": death}))?;
        Ok(Ending::KernelDied(death))
    }

    fn add_error(&mut self, record: usize, content: &Value) -> Result<(), RunError> {
        let change = self.outputs.add_error(record, content);
        if let Some(cell) = self.outputs.cell(record) {
            self.screen.change(change, &mut cell.outputs)?;
        }
        Ok(())
    }

    /// Ends the kernel in the middle of a cell.
    async fn kill(&mut self, record: usize, ending: Ending) -> Result<Ending, RunError> {
        self.process.kill().await;
        self.killed = true;
        let (ename, evalue) = match ending {
            Ending::TimedOut => {
                let longest = self.longest();
                (
                    "TimedOut",
                    format!(
                        "the cell took longer than {longest} and didn't end when interrupted: the kernel was killed"
                    ),
                )
            }
            _ => ("Interrupted", "the kernel was killed".to_owned()),
        };
        self.add_error(record, &json!({"ename": ename, "evalue": evalue}))?;
        Ok(ending)
    }

    /// Has the user asked on a thread of its own, which a blocked terminal may hold up for ever.
    fn ask(&mut self, question: Message, answers: &mpsc::Sender<(Message, String)>) -> Result<(), RunError> {
        let Some(ask) = self.ask.clone() else {
            self.screen.note("the cell asks for input, and there is no terminal to ask: it gets an empty line")?;
            // The channel has room: a kernel asks one question at a time.
            let _ = answers.try_send((question, String::new()));
            return Ok(());
        };
        let answers = answers.clone();
        std::thread::spawn(move || {
            let prompt = question.content["prompt"].as_str().unwrap_or_default();
            let text = ask(prompt, question.content["password"] == true).unwrap_or_else(|error| {
                tracing::warn!(%error, "no input");
                String::new()
            });
            // The cell may have ended meanwhile.
            let _ = answers.blocking_send((question, text));
        });
        Ok(())
    }

    async fn shut_down(&mut self, client: &mut KernelClient) {
        let asked = client.request(Channel::Control, "shutdown_request", json!({"restart": false})).await;
        // A kernel that can't be asked is dead, or as good as.
        let ended = asked.is_ok()
            && tokio::select! {
                ended = self.process.ends_within(SHUTDOWN) => ended,
                Some(_) = self.stop.recv() => false,
            };
        if !ended {
            self.process.kill().await;
        }
    }

    /// The longest that a cell may take, for people.
    fn longest(&self) -> String {
        format!("{} s", self.timeout.unwrap_or_default().as_secs_f64())
    }

    /// What became of each cell.
    fn reports(&self, cells: &[CodeCell], ending: &Ending) -> Vec<CellReport> {
        let report = |(number, cell): (usize, &CodeCell)| {
            let ran = self.took.get(number);
            let outcome = match ran.map(|(ending, _)| ending) {
                None => Outcome::NotRun,
                Some(Ending::Complete) => Outcome::Passed,
                Some(Ending::Failed) if cell.may_fail => Outcome::Expected,
                Some(Ending::Failed) => Outcome::Failed,
                Some(Ending::TimedOut) => Outcome::TimedOut,
                Some(Ending::Interrupted) => Outcome::Interrupted,
                Some(Ending::KernelDied(_)) => Outcome::KernelDied,
            };
            CellReport {
                index: cell.index,
                id: cell.id.clone(),
                title: title(&cell.source),
                outcome,
                took: ran.map(|(_, took)| *took),
                error: self.outputs.error(number).cloned(),
            }
        };
        let mut reports: Vec<_> = cells.iter().enumerate().map(report).collect();
        // It died before it ran any: nobody is to think that all was skipped on purpose.
        if let (Ending::KernelDied(how), true, Some(first)) = (ending, self.took.is_empty(), reports.first_mut()) {
            first.outcome = Outcome::KernelDied;
            first.error = Some(json!({"ename": "KernelDied", "evalue": how}));
        }
        reports
    }

    /// Says at the end what the user must know.
    fn report(&mut self, finished: Finished) -> Result<Finished, RunError> {
        let Finished { ending, ran, of } = &finished;
        let what = match ending {
            Ending::Complete => return Ok(finished),
            Ending::Failed => format!("cell {ran} of {of} failed"),
            Ending::TimedOut => format!("cell {ran} of {of} took longer than {}", self.longest()),
            Ending::Interrupted => format!("stopped in cell {ran} of {of}"),
            Ending::KernelDied(how) if *ran == 0 => how.clone(),
            Ending::KernelDied(_) => format!("the kernel died in cell {ran} of {of}"),
        };
        let rest = match of - ran {
            0 => String::new(),
            1 => "; 1 cell wasn't run".to_owned(),
            rest => format!("; {rest} cells weren't run"),
        };
        self.screen.note(&format!("{what}{rest}"))?;
        Ok(finished)
    }
}

async fn interrupt(client: &mut KernelClient) -> Result<(), ClientError> {
    // Nobody waits for the reply: what counts is that the cell ends.
    client.request(Channel::Control, "interrupt_request", json!({})).await.map(drop)
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
