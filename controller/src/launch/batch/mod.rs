//! Engines as jobs of a batch system, one each: a script is submitted, waits in the queue and starts an outpost, whose
//! program and invitation lie in a folder that all nodes see ([`Shared`]); HTCondor brings them to the node itself.

mod guard;
mod script;
mod system;

pub use script::Script;
pub use system::System;

use super::distant::{Provider, Site};
use super::shared::{Shared, write};
use super::{Launch, Resources, in_queue, last_lines, shell_words};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use guard::Guard;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use system::{Job, Waits};
use tokio::process::Command;
use tokio::sync::{OnceCell, watch};

/// A job that wasn't listed so many times in a row has ended. One that was just submitted may be missing once.
const MISSED: u32 = 2;

/// What a batch system is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Which one.
    pub system: System,
    /// The program that submits, and more options of it.
    pub command: Vec<String>,
    /// What an engine gets.
    pub resources: Resources,
    /// A folder that all nodes see; the user's cache folder when left out.
    pub shared: Option<PathBuf>,
    /// The user's own script, if it isn't to be Chorus's.
    pub script: Option<Script>,
}

impl Batch {
    pub(super) fn into_provider(self, launch: Launch, cluster: &str, stay: u32) -> BatchProvider {
        let shared = OnceCell::new();
        BatchProvider {
            batch: self,
            launch,
            cluster: cluster.to_owned(),
            stay,
            shared,
            listed: watch::channel(BTreeMap::new()).0,
        }
    }

    fn job(&self, launch: &Launch, cluster: &str, program: &Path, folder: &Path) -> String {
        let name = &format!("chorus-{cluster}");
        self.system.script(&Job { name, resources: &self.resources, program, launch, folder })
    }

    /// What would be submitted for each engine, with marks for what is known only then, and by what.
    pub(super) fn plan(&self, launch: &Launch, cluster: &str) -> (String, String) {
        let script = match &self.script {
            Some(script) => script.0.clone(),
            None => self.job(launch, cluster, Path::new(script::PROGRAM), Path::new(script::FOLDER)),
        };
        (script, shell_words(&self.system.submit(&self.command, &Path::new(script::FOLDER).join(guard::SCRIPT))))
    }

    /// Another program of the batch system's, which lies where the one does that submits.
    fn beside(&self, program: &str) -> PathBuf {
        let submit = Path::new(self.command.first().map_or("", String::as_str));
        submit.with_file_name(program)
    }
}

#[derive(Debug)]
pub(super) struct BatchProvider {
    batch: Batch,
    launch: Launch,
    cluster: String,
    /// For how many seconds another controller may take this one's place.
    stay: u32,
    shared: OnceCell<Shared>,
    /// The jobs that there were when the queue was looked at last.
    listed: watch::Sender<BTreeMap<String, Option<Waits>>>,
}

impl Provider for BatchProvider {
    fn bring<'a>(&'a self, site: Site<'a>) -> BoxFuture<'a, Result<(), String>> {
        self.submit(site).boxed()
    }

    fn queue(&self) -> BoxFuture<'_, Option<String>> {
        async move {
            let system = self.batch.system;
            let (program, arguments) = system.list();
            let mut list = Command::new(self.batch.beside(program));
            let answer = list.args(arguments).stdin(Stdio::null()).kill_on_drop(true).output().await.ok()?;
            let said = String::from_utf8_lossy(&answer.stdout);
            // Some end with an error when there is no job.
            if !answer.status.success() && !system.is_empty(&String::from_utf8_lossy(&answer.stderr)) {
                return None;
            }
            let jobs = system.jobs(&said);
            let waiting =
                in_queue(&format!("{}'s queue", system.title()), jobs.values().flatten().map(|it| it.reason()));
            self.listed.send_replace(jobs);
            waiting
        }
        .boxed()
    }
}

impl BatchProvider {
    async fn submit(&self, site: Site<'_>) -> Result<(), String> {
        let shared = self.shared.get_or_try_init(|| async {
            Shared::prepare(self.batch.shared.clone(), &self.cluster, &self.launch).await
        });
        let shared = shared.await?;
        let folder = shared.folder()?;
        let invitation = self.launch.invitation(site.gateway, site.place, &shared.hash, None)?;
        write(&folder.join(guard::INVITATION), &format!("{invitation}\n"))?;
        let system = self.batch.system;
        let script = match &self.batch.script {
            Some(script) => script.fill(&shared.program, &folder),
            None => self.batch.job(&self.launch, &self.cluster, &shared.program, &folder),
        };
        let script_at = folder.join(guard::SCRIPT);
        write(&script_at, &script)?;
        let words = system.submit(&self.batch.command, &script_at);
        let mut guard = Guard::submit(&words, &self.batch.beside(system.cancel()), &folder, self.stay).await?;
        self.join(site, &mut guard, &folder).await
    }

    /// Waits until the job's outpost has joined, or the job has ended before.
    async fn join(&self, site: Site<'_>, guard: &mut Guard, folder: &Path) -> Result<(), String> {
        let Site { mut arrived, .. } = site;
        let mut listed = self.listed.subscribe();
        let mut missed = 0;
        loop {
            tokio::select! {
                joined = &mut arrived => {
                    if joined.is_ok() {
                        guard.joined();
                    }
                    return Ok(());
                }
                changed = listed.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let is_there = listed.borrow_and_update().contains_key(guard.job());
                    missed = if is_there { 0 } else { missed + 1 };
                    if missed == MISSED {
                        let why = said(&folder.join(guard::OUTPUT));
                        return Err(format!("job {} has ended before its engine joined{why}", guard.job()));
                    }
                }
            }
        }
    }
}

/// What a job has written, behind a sentence about it.
fn said(output: &Path) -> String {
    match last_lines(&std::fs::read(output).unwrap_or_default()) {
        last if last.is_empty() => " and said nothing".to_owned(),
        last => format!(": {last}"),
    }
}
