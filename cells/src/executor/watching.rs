//! `%cluster status`, `watch`, `logs`, `scale`, `adapt`, `add` and `drain`; `%tasks`.

use super::clusters::{cluster_error, no_cluster};
use super::parallel::resolve;
use super::{Executor, Request};
use crate::cluster::{Cluster, ClusterError, Patience, joining, own_name};
use crate::engines::default_engines;
use crate::failure::{Failure, Kind, failure};
use crate::logs::{Logs, Shown};
use crate::publisher::Publisher;
use crate::whereabouts::{Whereabouts, whereabouts};
use chorus_client::ClientError;
use chorus_compiler::Member;
use chorus_controller::{Plan, Pool};
use chorus_history::Figures;
use chorus_magics::{On, Targets, Tasks};
use chorus_protocol::{Adapt, EngineId, Order, name_engines};
use chorus_render::{Bundle, plain_bundle, status, task_graph, task_stream, tasks};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// How often what is watched is shown anew.
const WATCH: Duration = Duration::from_secs(1);

impl Executor {
    pub(super) async fn tasks(&self, wanted: &Tasks, publisher: &Publisher) -> Result<(), Failure> {
        let shown = match self.engines.current() {
            _ if wanted.graph => task_graph(&self.jobs.graph()),
            Some(cluster) if wanted.stream => task_stream(&cluster.figures().await.map_err(cluster_error)?),
            None if wanted.stream => task_stream(&Figures::default()),
            _ => tasks(&self.jobs.list()),
        };
        publisher.display(shown).await;
        Ok(())
    }

    pub(super) async fn show_cluster(&self, request: &Request) -> Result<(), Failure> {
        let shown = match self.engines.current() {
            None => plain_bundle("no cluster; `%cluster start` or any %px cell starts one"),
            Some(cluster) => look(&cluster).await?,
        };
        request.publisher.display(shown).await;
        Ok(())
    }

    /// Shows the cluster anew each second, in the same place.
    pub(super) async fn watch_cluster(&self, limit: Option<Duration>, request: &Request) -> Result<(), Failure> {
        let cluster = self.engines.current().ok_or_else(no_cluster)?;
        let end = limit.map(|limit| Instant::now() + limit);
        let id = format!("chorus-watch-{}", request.publisher.count());
        let mut interrupted = request.interrupted.clone();
        let mut tick = tokio::time::interval(WATCH);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut figures = cluster.figures().await.map_err(cluster_error)?;
        let mut entries = cluster.follow_log(figures.number + 1);
        let mut first = true;
        loop {
            tokio::select! {
                () = interrupted.next() => return Ok(()),
                () = until(end) => return Ok(()),
                new = entries.recv() => match new {
                    Some(new) => new.iter().for_each(|entry| figures.apply(entry)),
                    // The cluster is gone: the next cell that needs it says why.
                    None => return Ok(()),
                },
                news = cluster.away().news(request.publisher.count()) => request.publisher.warn(&news).await,
                _ = tick.tick(), if !cluster.away().is_gone() => {
                    let now = match cluster.status().await {
                        // It is told as soon as the notebook hears of it, and watched on when it is back.
                        Err(ClusterError::Client(ClientError::Away { .. } | ClientError::Silent { .. })) => continue,
                        now => now.map_err(cluster_error)?,
                    };
                    request.publisher.update(&id, first, status::cluster(&now, &figures)).await;
                    first = false;
                }
            }
        }
    }

    /// Shows the ends of the logs, and goes on if that is wanted.
    pub(super) async fn show_logs(
        &self,
        targets: Option<Targets>,
        follow: bool,
        lines: usize,
        request: &Request,
    ) -> Result<(), Failure> {
        let cluster = self.engines.current().ok_or_else(no_cluster)?;
        let publisher = &request.publisher;
        let only = targets.as_ref().map(|targets| resolve(targets, &cluster)).transpose()?;
        let shown = only.map_or(Shown::All, |engines| Shown::Of(BTreeSet::from_iter(engines)));
        let past = cluster.log().await.map_err(cluster_error)?;
        let mut logs = Logs::new(cluster.folder(), shown);
        let lines = logs.past(&past, lines).map_err(|error| {
            let folder = cluster.folder().display();
            failure(Kind::ClusterError, format!("the engines' logs in {folder} can't be read: {error}"))
        })?;
        tell(lines, publisher).await;
        if !follow {
            return Ok(());
        }
        let entries = cluster.follow_log(logs.next());
        let mut following = logs.follow(entries);
        let mut interrupted = request.interrupted.clone();
        loop {
            tokio::select! {
                () = interrupted.next() => return Ok(()),
                news = cluster.away().news(publisher.count()) => publisher.warn(&news).await,
                new = following.next() => match new {
                    Some(Ok(lines)) => tell(lines, publisher).await,
                    Some(Err(error)) => {
                        return Err(failure(Kind::ClusterError, format!("the log can't be shown: {error}")));
                    }
                    // The cluster is gone: the next cell that needs it says why.
                    None => return Ok(()),
                },
            }
        }
    }

    /// Where engines are to be started, as the flags say it.
    pub(super) fn whereabouts(&self, on: &On, engines: Option<u32>) -> Result<Whereabouts, Failure> {
        let here = || self.config.engines.unwrap_or_else(default_engines);
        whereabouts(on, engines, here).map_err(|why| failure(Kind::ClusterError, why))
    }

    /// Tells what the flags would have done.
    pub(super) async fn tell_plan(
        &self,
        on: &On,
        engines: Option<u32>,
        (name, label): (Option<String>, Option<String>),
        publisher: &Publisher,
    ) -> Result<(), Failure> {
        let Whereabouts { pool, engines, .. } = self.whereabouts(on, engines)?;
        let name = name.unwrap_or_else(own_name);
        let Plan { steps, script } = Pool { label, ..pool }.plan(&self.config.launch(), &name, engines);
        publisher.say(&[&steps, script.as_deref().unwrap_or_default()].concat()).await;
        Ok(())
    }

    /// Has the cluster start engines, or let some go.
    pub(super) async fn scale(&self, engines: u32, request: &Request) -> Result<(), Failure> {
        let cluster = self.cluster(request).await?;
        let order = Order::Scale { engines };
        if engines as usize <= cluster.engines().len() {
            let done = cluster.steer(order).await.map_err(cluster_error)?;
            request.publisher.say(&sentence(&done)).await;
            return Ok(());
        }
        self.grow(&cluster, order, (engines, engines), Patience::BRIEF, request).await
    }

    /// Has the number of engines follow the work.
    pub(super) async fn adapt(&self, limits: Option<Adapt>, request: &Request) -> Result<(), Failure> {
        let cluster = self.cluster(request).await?;
        let done = cluster.steer(Order::Adapt(limits)).await.map_err(cluster_error)?;
        request.publisher.say(&sentence(&done)).await;
        Ok(())
    }

    /// Has the cluster start engines in a place of their own.
    pub(super) async fn add_engines(
        &self,
        engines: Option<u32>,
        label: Option<String>,
        on: &On,
        request: &Request,
    ) -> Result<(), Failure> {
        let cluster = self.engines.current().filter(|cluster| cluster.lost().is_none()).ok_or_else(no_cluster)?;
        if on.dry_run {
            let name = Some(cluster.name().to_owned());
            return self.tell_plan(on, engines, (name, label), &request.publisher).await;
        }
        let Whereabouts { pool, engines, min, adapt } = self.whereabouts(on, engines)?;
        if adapt.is_some() {
            let how = "`--adapt` is for a cluster that starts: `%cluster adapt` is for one that runs";
            return Err(failure(Kind::ClusterError, how));
        }
        let (there, patience) = (cluster.engines().len() as u32, Patience::with(&pool.place));
        let order = Order::Add { engines, pool: Pool { label, ..pool }.write() };
        self.grow(&cluster, order, (there + engines, there + min.unwrap_or(engines)), patience, request).await
    }

    /// Has the cluster start engines, and waits for them: for all that are wanted, or as many as are enough.
    async fn grow(
        &self,
        cluster: &Arc<Cluster>,
        order: Order,
        (wanted, enough): (u32, u32),
        patience: Patience,
        request: &Request,
    ) -> Result<(), Failure> {
        let before = cluster.engines();
        cluster.expect_engines();
        let done = cluster.steer(order).await.map_err(cluster_error)?;
        let mut interrupted = request.interrupted.clone();
        tokio::select! {
            () = joining(cluster, (wanted as usize, enough as usize), patience, &request.publisher) => {}
            () = interrupted.next() => {
                let what = format!("{done}; the cell doesn't wait for them any more");
                return Err(failure(Kind::Interrupted, what));
            }
        };
        let now = cluster.engines();
        let new: Vec<EngineId> = now.iter().filter(|engine| !before.contains(engine)).copied().collect();
        let lacking = self.lacking(&before, &new).await?;
        let mut text = format!("The cluster `{}` has {} engines now", cluster.name(), now.len());
        if !new.is_empty() {
            text += &format!(": {} joined, with all definitions", name_engines(&new));
        }
        if !lacking.is_empty() {
            let names: Vec<String> = lacking.iter().map(|name| format!("`{name}`")).collect();
            text += &format!(", and without the variables {}, which the others have", names.join(", "));
        }
        let is_short = now.len() < wanted as usize;
        let queue = match is_short {
            true => cluster.status().await.map_err(cluster_error)?.queue,
            false => None,
        };
        if let Some(queue) = &queue {
            text += &format!("; {queue}. Who waits there joins when it is its turn");
        }
        request.publisher.say(&(text + ".")).await;
        match now.len() < enough as usize && queue.is_none() {
            true => {
                let why = cluster.why_given_up().unwrap_or_else(|| "`%cluster logs` may say why".to_owned());
                let what = format!("only {} of {wanted} engines are there: {why}", now.len());
                Err(failure(Kind::ClusterError, what))
            }
            false => Ok(()),
        }
    }

    /// The variables that some of these engines have, and the new ones don't.
    async fn lacking(&self, before: &[EngineId], new: &[EngineId]) -> Result<BTreeSet<String>, Failure> {
        let (before, new) = (before.to_vec(), new.to_vec());
        self.with_compiler(move |compiler| {
            let names = |engines: &[EngineId]| {
                let members = engines.iter().map(|engine| Member::Engine(*engine));
                members.flat_map(|member| compiler.namespaces().variables(member).into_keys()).collect::<BTreeSet<_>>()
            };
            if new.is_empty() { BTreeSet::new() } else { &names(&before) - &names(&new) }
        })
        .await
    }

    pub(super) async fn drain(&self, targets: &Targets, request: &Request) -> Result<(), Failure> {
        let cluster = self.engines.current().ok_or_else(no_cluster)?;
        let engines = resolve(targets, &cluster)?;
        let done = cluster.steer(Order::Drain { engines }).await.map_err(cluster_error)?;
        request.publisher.say(&sentence(&done)).await;
        Ok(())
    }
}

async fn look(cluster: &Arc<Cluster>) -> Result<Bundle, Failure> {
    let figures = cluster.figures().await.map_err(cluster_error)?;
    let now = cluster.status().await.map_err(cluster_error)?;
    Ok(status::cluster(&now, &figures))
}

async fn tell(lines: Vec<String>, publisher: &Publisher) {
    for line in lines {
        publisher.say(&line).await;
    }
}

/// Never, without a time.
async fn until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().collect::<String>()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}
