//! `%cluster`.

use super::parallel::resolve;
use super::{Executor, Request};
use crate::cluster::{Cluster, ClusterError, StartCluster};
use crate::engines::close;
use crate::failure::{Failure, Kind, failure, losses};
use crate::whereabouts::Whereabouts;
use chorus_compiler::Member;
use chorus_controller::{Pool, Transport};
use chorus_magics::{ClusterCommand, Targets};
use chorus_protocol::{Death, EngineId, SessionStatus, name_engines};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Executor {
    /// The cluster; the first that asks starts one. Its engines stay until the cell has ended.
    pub(super) async fn cluster(&self, request: &Request) -> Result<Arc<Cluster>, Failure> {
        let cluster = self.engines.get(&request.publisher, &request.interrupted).await?;
        request.preparing.lock().get_or_insert_with(|| cluster.session().prepare());
        Ok(cluster)
    }

    /// The cluster, if it lives. One that is gone is left, and that is said.
    async fn living_cluster(&self, request: &Request) -> Result<Option<Arc<Cluster>>, Failure> {
        let cluster = self.engines.current().ok_or_else(no_cluster)?;
        let Some(why) = cluster.lost() else { return Ok(Some(cluster)) };
        let gone = format!("the cluster `{}` is gone: {why}", cluster.name());
        let what = self.engines.tell_lost().await.unwrap_or(gone);
        drop(cluster);
        self.engines.leave_lost().await;
        request.publisher.warn(&what).await;
        Ok(None)
    }

    pub(super) async fn cluster_command(&mut self, command: ClusterCommand, request: &Request) -> Result<(), Failure> {
        let publisher = &request.publisher;
        match command {
            ClusterCommand::Start { n, tcp, name, label, record, on } => {
                if on.dry_run {
                    return self.tell_plan(&on, n, (name, label), publisher).await;
                }
                let turn = unless_interrupted(self.engines.turn(), request, "no cluster was started").await?;
                if let Some(cluster) = self.engines.current().filter(|cluster| cluster.lost().is_none()) {
                    let (name, engines) = (cluster.name(), cluster.engines().len());
                    let what = format!("this notebook uses the cluster `{name}` with {engines} engines already");
                    let how =
                        if cluster.is_own() { "`%cluster stop` stops it" } else { "`%cluster disconnect` leaves it" };
                    return Err(failure(Kind::ClusterError, format!("{what}: {how}")));
                }
                self.engines.warn_of_loss(publisher).await;
                self.engines.leave_lost().await;
                let Whereabouts { pool, engines, min, adapt } = self.whereabouts(&on, n)?;
                let pool = Pool { label, ..pool };
                let transport = if tcp { Transport::Tcp } else { Transport::Ipc };
                let start = self.engines.start(
                    StartCluster { name, engines, transport, pool, record, min, adapt },
                    publisher,
                    &turn,
                );
                unless_interrupted(start, request, "no cluster was started").await??;
            }
            ClusterCommand::Stop { force } => {
                let Some(cluster) = self.living_cluster(request).await? else { return Ok(()) };
                let name = cluster.name();
                let others = cluster.others().await.map_err(cluster_error)?;
                if !cluster.is_own() && !force {
                    let what = format!("this notebook didn't start the cluster `{name}`, so it wasn't stopped");
                    let how = "`%cluster disconnect` leaves it; `%cluster stop --force` stops it";
                    let what = format!("{what}: {how}{}", list(" for all who use it", &others));
                    return Err(failure(Kind::ClusterError, what));
                }
                let lost = losses(&self.engines_variables().await?.into_iter().collect::<Vec<_>>());
                self.engines.take_if(|current| std::ptr::eq(current, &*cluster));
                close(&cluster).await;
                cluster.stop().await.map_err(cluster_error)?;
                let others = list(", also for those who use it", &others);
                publisher.say(&format!("Stopped the cluster `{name}`{lost}{others}")).await;
            }
            ClusterCommand::Disconnect => {
                let Some(cluster) = self.living_cluster(request).await? else { return Ok(()) };
                let name = cluster.name().to_owned();
                if cluster.is_own() {
                    let what = format!("this notebook started the cluster `{name}`, which can't go on without it");
                    return Err(failure(Kind::ClusterError, format!("{what}: `%cluster stop` stops it")));
                }
                drop(cluster);
                self.engines.leave().await;
                publisher.say(&format!("Disconnected from the cluster `{name}`, which goes on.")).await;
            }
            ClusterCommand::Status => self.show_cluster(request).await?,
            ClusterCommand::Watch { limit } => self.watch_cluster(limit, request).await?,
            ClusterCommand::Logs { targets, follow, lines } => {
                self.show_logs(targets, follow, lines, request).await?;
            }
            ClusterCommand::Scale { n } => self.scale(n, request).await?,
            ClusterCommand::Adapt { limits } => self.adapt(limits.0, request).await?,
            ClusterCommand::Add { n, label, on } => self.add_engines(n, label, &on, request).await?,
            ClusterCommand::Drain { targets } => self.drain(&targets, request).await?,
            ClusterCommand::Connect { to } => {
                let turn = unless_interrupted(self.engines.turn(), request, "no cluster was connected to").await?;
                let is_this = |cluster: &Arc<Cluster>| cluster.lost().is_none() && cluster.name() == to;
                if let Some(cluster) = self.engines.current().filter(is_this) {
                    publisher.say(&format!("Connected to the cluster `{}` already.", cluster.name())).await;
                    return Ok(());
                }
                let own = self.engines.current().filter(|cluster| cluster.is_own() && cluster.lost().is_none());
                let mut stopped = None;
                if let Some(cluster) = own {
                    let others = cluster.others().await.map_err(cluster_error)?;
                    if !others.is_empty() {
                        let what = format!("this notebook's own cluster `{}` would end", cluster.name());
                        let what = format!("{what}: `%cluster stop` stops it{}", list(" for all who use it", &others));
                        return Err(failure(Kind::ClusterError, what));
                    }
                    let lost = losses(&self.engines_variables().await?.into_iter().collect::<Vec<_>>());
                    stopped = Some(format!("Stopped this notebook's own cluster `{}`{lost}.", cluster.name()));
                }
                let cluster =
                    Cluster::connect(&to, &self.config.runtime, &self.compiler).await.map_err(cluster_error)?;
                self.engines.warn_of_loss(publisher).await;
                self.engines.leave().await;
                if let Some(stopped) = stopped {
                    publisher.say(&stopped).await;
                }
                let cluster = self.engines.set(cluster, &turn);
                let (name, engines) = (cluster.name(), cluster.engines().len());
                publisher.say(&format!("Connected to the cluster `{name}` with {engines} engines.")).await;
            }
            ClusterCommand::Restart { targets } => {
                let cluster = self.engines.current().ok_or_else(no_cluster)?;
                let engines = resolve(&targets.unwrap_or_else(Targets::all), &cluster)?;
                cluster.session().restart(engines.clone());
                let restarted = engines.clone();
                let lost = self
                    .with_compiler(move |compiler| {
                        let died = |engine: &EngineId| compiler.died(Member::Engine(*engine), Death::Stopped, None);
                        restarted.iter().flat_map(died).collect::<BTreeSet<String>>()
                    })
                    .await?;
                let lost: Vec<String> = lost.into_iter().collect();
                let which = name_engines(&engines);
                publisher.say(&format!("Restarted {which}{}.", losses(&lost))).await;
            }
        }
        Ok(())
    }
}

/// What comes of it, unless the user ends it before.
async fn unless_interrupted<T>(wanted: impl Future<Output = T>, request: &Request, what: &str) -> Result<T, Failure> {
    let mut interrupted = request.interrupted.clone();
    tokio::select! {
        came = wanted => Ok(came),
        () = interrupted.next() => Err(failure(Kind::Interrupted, what)),
    }
}

/// The end of a sentence about sessions, and a line for each.
fn list(about: &str, sessions: &[SessionStatus]) -> String {
    if sessions.is_empty() {
        return ".".to_owned();
    }
    let lines = sessions.iter().map(|session| format!("\n  {session}"));
    format!("{about}:{}", lines.collect::<String>())
}

pub(super) fn no_cluster() -> Failure {
    failure(Kind::NoCluster, "there is no cluster: `%cluster start` or any %px cell starts one")
}

pub(super) fn cluster_error(error: ClusterError) -> Failure {
    failure(Kind::ClusterError, error.to_string())
}
