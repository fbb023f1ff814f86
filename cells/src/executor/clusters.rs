//! `%cluster`.

use super::parallel::resolve;
use super::{Executor, Request};
use crate::cluster::{Cluster, StartCluster};
use crate::engines::{default_engines, sole};
use crate::failure::{Failure, Kind, failure};
use chorus_compiler::Member;
use chorus_controller::Transport;
use chorus_magics::{ClusterCommand, Targets};
use chorus_protocol::{Death, EngineId};
use chorus_render::{Bundle, plain_bundle, status};
use std::sync::Arc;

impl Executor {
    /// The cluster; the first that asks starts one.
    pub(super) async fn cluster(&self, request: &Request) -> Result<Arc<Cluster>, Failure> {
        self.engines.get(&request.publisher, &request.interrupted).await
    }

    pub(super) async fn cluster_command(&mut self, command: ClusterCommand, request: &Request) -> Result<(), Failure> {
        let publisher = &request.publisher;
        let none = || failure(Kind::NoCluster, "there is no cluster: `%cluster start` or any %px cell starts one");
        match command {
            ClusterCommand::Start { n, tcp, name } => {
                if let Some(cluster) = self.engines.current().filter(|cluster| cluster.lost().is_none()) {
                    let (name, engines) = (cluster.name(), cluster.engines().len());
                    let what = format!("this notebook uses the cluster `{name}` with {engines} engines already");
                    return Err(failure(Kind::ClusterError, format!("{what}: `%cluster stop` ends it")));
                }
                self.engines.leave().await;
                let engines = n.or(self.config.engines).unwrap_or_else(default_engines);
                let transport = if tcp { Transport::Tcp } else { Transport::Ipc };
                let mut interrupted = request.interrupted.clone();
                tokio::select! {
                    started = self.engines.start(StartCluster { name, engines, transport }, publisher) => drop(started?),
                    () = interrupted.next() => return Err(failure(Kind::Interrupted, "no cluster was started")),
                }
            }
            ClusterCommand::Stop => {
                let cluster = self.engines.take().ok_or_else(none)?;
                let name = cluster.name().to_owned();
                if let Some(cluster) = sole(cluster).await {
                    cluster.stop().await.map_err(|error| failure(Kind::ClusterError, error.to_string()))?;
                }
                publisher.say(&format!("Stopped the cluster `{name}`.")).await;
            }
            ClusterCommand::Status => match self.engines.current() {
                None => {
                    publisher.display(plain_bundle("no cluster; `%cluster start` or any %px cell starts one")).await
                }
                Some(cluster) => {
                    let status =
                        cluster.status().await.map_err(|error| failure(Kind::ClusterError, error.to_string()))?;
                    let shown: Bundle = status::cluster(&status);
                    publisher.display(shown).await;
                }
            },
            ClusterCommand::Connect { to } => {
                let is_this = |cluster: &Arc<Cluster>| cluster.lost().is_none() && cluster.name() == to;
                if let Some(cluster) = self.engines.current().filter(is_this) {
                    publisher.say(&format!("Connected to the cluster `{}` already.", cluster.name())).await;
                    return Ok(());
                }
                let cluster = Cluster::connect(&to, &self.config.runtime, &self.compiler)
                    .await
                    .map_err(|error| failure(Kind::ClusterError, error.to_string()))?;
                self.engines.leave().await;
                let cluster = self.engines.set(cluster);
                let (name, engines) = (cluster.name(), cluster.engines().len());
                publisher.say(&format!("Connected to the cluster `{name}` with {engines} engines.")).await;
            }
            ClusterCommand::Restart { targets } => {
                let cluster = self.engines.current().ok_or_else(none)?;
                let engines = resolve(&targets.unwrap_or_else(Targets::all), &cluster)?;
                cluster.session().restart(engines.clone());
                let restarted = engines.clone();
                let lost = self
                    .with_compiler(move |compiler| {
                        let died = |engine: &EngineId| compiler.died(Member::Engine(*engine), Death::Stopped);
                        restarted.iter().flat_map(died).collect::<std::collections::BTreeSet<String>>()
                    })
                    .await?;
                let lost: Vec<String> = lost.into_iter().collect();
                let which = chorus_protocol::name_engines(&engines);
                publisher.say(&format!("Restarted {which}{}.", crate::failure::losses(&lost))).await;
            }
        }
        Ok(())
    }
}
