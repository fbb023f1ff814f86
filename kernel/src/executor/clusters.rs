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

    /// Leaves the cluster, with all that the notebook had there.
    async fn drop_cluster(&mut self) {
        let Some(cluster) = self.cluster.take() else { return };
        self.compiler.send(|compiler| compiler.namespaces_mut().forget(|member| member == Member::Local));
        leave(cluster).await;
    }

    pub(super) async fn cluster_command(&mut self, command: ClusterCommand, request: &Request) -> Result<(), Failure> {
        let publisher = &request.publisher;
        let none = || failure("NoCluster", "there is no cluster: `%cluster start` or any %px cell starts one");
        match command {
            ClusterCommand::Start { n, tcp, name } => {
                if let Some(cluster) = self.cluster.as_ref().filter(|cluster| cluster.lost().is_none()) {
                    let (name, engines) = (cluster.name(), cluster.engines().len());
                    let what = format!("this notebook uses the cluster `{name}` with {engines} engines already");
                    return Err(failure("ClusterError", format!("{what}: `%cluster stop` ends it")));
                }
                self.drop_cluster().await;
                let engines = n.or(self.config.engines).unwrap_or_else(default_engines);
                let transport = if tcp { Transport::Tcp } else { Transport::Ipc };
                self.start_cluster(StartCluster { name, engines, transport }, request).await?;
            }
            ClusterCommand::Stop { force } => {
                let cluster = self.cluster.as_ref().ok_or_else(none)?;
                let name = cluster.name().to_owned();
                let others = match cluster.lost() {
                    None => cluster.others().await.map_err(|error| failure("ClusterError", error.to_string()))?,
                    Some(_) => Vec::new(),
                };
                if !cluster.is_own() && !force && cluster.lost().is_none() {
                    let what = format!("this notebook didn't start the cluster `{name}`, so it wasn't stopped");
                    let how = "`%cluster disconnect` leaves it; `%cluster stop --force` stops it";
                    return Err(failure("ClusterError", format!("{what}: {how}{}", list(" for all who use it", &others))));
                }
                self.compiler.send(|compiler| compiler.namespaces_mut().forget(|member| member == Member::Local));
                if let Some(cluster) = self.cluster.take()
                    && let Some(cluster) = sole(cluster).await
                {
                    cluster.stop().await.map_err(|error| failure("ClusterError", error.to_string()))?;
                }
                publisher.say(&format!("Stopped the cluster `{name}`{}", list(", which ended it for others", &others))).await;
            }
            ClusterCommand::Disconnect => {
                let cluster = self.cluster.as_ref().ok_or_else(none)?;
                let name = cluster.name().to_owned();
                if cluster.is_own() {
                    let what = format!("this notebook started the cluster `{name}`, which can't go on without it");
                    return Err(failure("ClusterError", format!("{what}: `%cluster stop` stops it")));
                }
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
                if let Some(cluster) = self.cluster.as_ref().filter(|cluster| cluster.is_own() && cluster.lost().is_none()) {
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
                let cluster = Arc::clone(self.cluster.as_ref().ok_or_else(none)?);
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

/// A cluster that background tasks still look at is theirs to close.
pub(super) async fn leave(cluster: Arc<Cluster>) {
    if let Some(cluster) = sole(cluster).await {
        cluster.leave().await;
    }
}

/// The cluster, when nobody else uses it any more. Closing the session ends the runs that others follow.
async fn sole(mut cluster: Arc<Cluster>) -> Option<Cluster> {
    cluster.session().close();
    for _ in 0..100 {
        match Arc::try_unwrap(cluster) {
            Ok(cluster) => return Some(cluster),
            Err(shared) => cluster = shared,
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    None
}

/// How many engines a cluster has that nobody said a number for: one for each core, at least 2.
pub fn default_engines() -> u32 {
    std::thread::available_parallelism().map_or(2, |cores| cores.get() as u32).max(2)
}
