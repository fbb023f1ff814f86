//! The notebook's cluster: started by the first parallel cell, or by `%cluster`.

use super::parallel::resolve;
use super::{Executor, Request};
use crate::cluster::{Cluster, StartCluster};
use crate::failure::{failure, losses};
use crate::magic::{ClusterCommand, Targets};
use crate::render::{Bundle, plain_bundle, status};
use chorus_compiler::{Compiler, Member};
use chorus_controller::Transport;
use chorus_jupyter::content::Failure;
use chorus_protocol::{Death, EngineId, SessionStatus};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

impl Executor {
    /// The cluster; the first that asks starts one.
    pub(super) async fn cluster(&mut self, request: &Request) -> Result<Arc<Cluster>, Failure> {
        if let Some(cluster) = &self.cluster {
            match cluster.lost() {
                None => return Ok(Arc::clone(cluster)),
                Some(reason) => {
                    let gone = format!("the cluster `{}` is gone: {reason}", cluster.name());
                    let what = self.tell_lost_cluster().await.unwrap_or(gone);
                    self.drop_cluster().await;
                    return Err(failure("ClusterLost", format!("{what}\nRun the cell again for a new cluster.")));
                }
            }
        }
        let engines = self.config.engines.unwrap_or_else(default_engines);
        let start = StartCluster { name: None, engines, transport: Transport::Ipc };
        self.start_cluster(start, request).await
    }

    /// Says once that the cluster is gone: who ended it, and which variables went with it.
    pub(super) async fn tell_lost_cluster(&self) -> Option<String> {
        let cluster = self.cluster.as_ref()?;
        let (why, engines) = cluster.tell_lost()?;
        let died = move |compiler: &mut Compiler| {
            let lost = engines.iter().flat_map(|engine| compiler.died(Member::Engine(*engine), Death::EngineLost));
            lost.collect::<BTreeSet<String>>()
        };
        let lost: Vec<String> = self.with_compiler(died).await.unwrap_or_default().into_iter().collect();
        Some(format!("the cluster `{}` is gone: {why}{}", cluster.name(), losses(&lost)))
    }

    async fn start_cluster(&mut self, start: StartCluster, request: &Request) -> Result<Arc<Cluster>, Failure> {
        let (wanted, started) = (start.engines, Instant::now());
        let mut interrupted = request.interrupted.clone();
        let starting = Cluster::start(start, &self.config.runtime, self.config.launch(), &self.compiler);
        let cluster = tokio::select! {
            cluster = starting => cluster.map_err(|error| failure("ClusterError", error.to_string()))?,
            () = interrupted.next() => return Err(failure("Interrupted", "no cluster was started")),
        };
        let joined = cluster.engines().len() as u32;
        let missing = match wanted.saturating_sub(joined) {
            0 => String::new(),
            missing => format!("; {missing} more haven't joined yet"),
        };
        let time = started.elapsed().as_secs_f64();
        let says = format!("Started the cluster `{}` with {joined} engines in {time:.2} s{missing}.", cluster.name());
        request.publisher.say(&says).await;
        Ok(self.use_cluster(cluster))
    }

    fn use_cluster(&mut self, cluster: Cluster) -> Arc<Cluster> {
        let cluster = Arc::new(cluster);
        self.cluster = Some(Arc::clone(&cluster));
        cluster
    }

    fn forget_cluster(&mut self) -> Option<Arc<Cluster>> {
        self.compiler.send(|compiler| compiler.namespaces_mut().forget(|member| member == Member::Local));
        self.cluster.take()
    }

    /// Leaves the cluster, with all that the notebook had there.
    async fn drop_cluster(&mut self) {
        if let Some(cluster) = self.forget_cluster() {
            leave(cluster).await;
        }
    }

    /// The cluster, if it lives. One that is gone is left, and that is said.
    async fn living_cluster(&mut self, request: &Request) -> Result<Option<Arc<Cluster>>, Failure> {
        let cluster = Arc::clone(self.cluster.as_ref().ok_or_else(no_cluster)?);
        let Some(why) = cluster.lost() else { return Ok(Some(cluster)) };
        let gone = format!("the cluster `{}` is gone: {why}", cluster.name());
        let what = self.tell_lost_cluster().await.unwrap_or(gone);
        drop(cluster);
        self.drop_cluster().await;
        request.publisher.warn(&what).await;
        Ok(None)
    }

    pub(super) async fn cluster_command(&mut self, command: ClusterCommand, request: &Request) -> Result<(), Failure> {
        let publisher = &request.publisher;
        match command {
            ClusterCommand::Start { n, tcp, name } => {
                if let Some(cluster) = self.cluster.as_ref().filter(|cluster| cluster.lost().is_none()) {
                    let (name, engines) = (cluster.name(), cluster.engines().len());
                    let what = format!("this notebook uses the cluster `{name}` with {engines} engines already");
                    let how =
                        if cluster.is_own() { "`%cluster stop` stops it" } else { "`%cluster disconnect` leaves it" };
                    return Err(failure("ClusterError", format!("{what}: {how}")));
                }
                self.drop_cluster().await;
                let engines = n.or(self.config.engines).unwrap_or_else(default_engines);
                let transport = if tcp { Transport::Tcp } else { Transport::Ipc };
                self.start_cluster(StartCluster { name, engines, transport }, request).await?;
            }
            ClusterCommand::Stop { force } => {
                let Some(cluster) = self.living_cluster(request).await? else { return Ok(()) };
                let name = cluster.name();
                let others = cluster.others().await.map_err(|error| failure("ClusterError", error.to_string()))?;
                if !cluster.is_own() && !force {
                    let what = format!("this notebook didn't start the cluster `{name}`, so it wasn't stopped");
                    let how = "`%cluster disconnect` leaves it; `%cluster stop --force` stops it";
                    let what = format!("{what}: {how}{}", list(" for all who use it", &others));
                    return Err(failure("ClusterError", what));
                }
                self.forget_cluster();
                close(&cluster).await;
                cluster.stop().await.map_err(|error| failure("ClusterError", error.to_string()))?;
                let others = list(", also for those who use it", &others);
                publisher.say(&format!("Stopped the cluster `{name}`{others}")).await;
            }
            ClusterCommand::Disconnect => {
                let Some(cluster) = self.living_cluster(request).await? else { return Ok(()) };
                let name = cluster.name().to_owned();
                if cluster.is_own() {
                    let what = format!("this notebook started the cluster `{name}`, which can't go on without it");
                    return Err(failure("ClusterError", format!("{what}: `%cluster stop` stops it")));
                }
                drop(cluster);
                self.drop_cluster().await;
                publisher.say(&format!("Disconnected from the cluster `{name}`, which goes on.")).await;
            }
            ClusterCommand::Status => match &self.cluster {
                None => {
                    publisher.display(plain_bundle("no cluster; `%cluster start` or any %px cell starts one")).await
                }
                Some(cluster) => {
                    let status = cluster.status().await.map_err(|error| failure("ClusterError", error.to_string()))?;
                    let shown: Bundle = status::cluster(&status);
                    publisher.display(shown).await;
                }
            },
            ClusterCommand::Connect { to } => {
                if let Some(cluster) =
                    self.cluster.as_ref().filter(|cluster| cluster.lost().is_none() && cluster.name() == to)
                {
                    publisher.say(&format!("Connected to the cluster `{}` already.", cluster.name())).await;
                    return Ok(());
                }
                if let Some(cluster) =
                    self.cluster.as_ref().filter(|cluster| cluster.is_own() && cluster.lost().is_none())
                {
                    let others = cluster.others().await.map_err(|error| failure("ClusterError", error.to_string()))?;
                    if !others.is_empty() {
                        let what = format!("this notebook's own cluster `{}` would end", cluster.name());
                        let what = format!("{what}: `%cluster stop` stops it{}", list(" for all who use it", &others));
                        return Err(failure("ClusterError", what));
                    }
                }
                let cluster = Cluster::connect(&to, &self.config.runtime, &self.compiler)
                    .await
                    .map_err(|error| failure("ClusterError", error.to_string()))?;
                self.drop_cluster().await;
                let cluster = self.use_cluster(cluster);
                let (name, engines) = (cluster.name(), cluster.engines().len());
                publisher.say(&format!("Connected to the cluster `{name}` with {engines} engines.")).await;
            }
            ClusterCommand::Restart { targets } => {
                let cluster = Arc::clone(self.cluster.as_ref().ok_or_else(no_cluster)?);
                let engines = resolve(&targets.unwrap_or_else(Targets::all), &cluster)?;
                cluster.session().restart(engines.clone());
                let restarted = engines.clone();
                let lost = self
                    .with_compiler(move |compiler| {
                        let died = |engine: &EngineId| compiler.died(Member::Engine(*engine), Death::Stopped);
                        restarted.iter().flat_map(died).collect::<BTreeSet<String>>()
                    })
                    .await?;
                let lost: Vec<String> = lost.into_iter().collect();
                let which = crate::render::name_engines(&engines);
                publisher.say(&format!("Restarted {which}{}.", losses(&lost))).await;
            }
        }
        Ok(())
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

pub(super) async fn leave(cluster: Arc<Cluster>) {
    close(&cluster).await;
    cluster.leave().await;
}

/// Closes the session, which ends the runs that others follow, and waits a little until they have drawn their
/// conclusions: the next cluster's engines have the same numbers.
async fn close(cluster: &Arc<Cluster>) {
    cluster.session().close();
    for _ in 0..100 {
        if Arc::strong_count(cluster) == 1 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

fn no_cluster() -> Failure {
    failure("NoCluster", "there is no cluster: `%cluster start` or any %px cell starts one")
}

/// How many engines a cluster has that nobody said a number for: one for each core, at least 2.
pub fn default_engines() -> u32 {
    std::thread::available_parallelism().map_or(2, |cores| cores.get() as u32).max(2)
}
