//! The notebook's engines: the cluster that it uses, if it uses one. Whoever needs engines first starts some, be it a
//! magic or a cell that asks for them while it runs.

use crate::cluster::{Cluster, ClusterError, Patience, StartCluster, joining};
use crate::compiler_thread::CompilerThread;
use crate::config::NotebookConfig;
use crate::failure::{Failure, Kind, failure, losses};
use crate::interrupt::Interrupted;
use crate::jobs::Jobs;
use crate::publisher::Publisher;
use chorus_compiler::{Compiler, Member};
use chorus_controller::{Pool, Transport};
use chorus_protocol::{Death, Order};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// See the module. Clones are the same.
#[derive(Clone)]
pub struct Engines(Arc<Shared>);

struct Shared {
    config: NotebookConfig,
    compiler: CompilerThread,
    /// Whose rooms engines use.
    jobs: Jobs,
    cluster: Mutex<Option<Arc<Cluster>>>,
    /// Whether a cluster like that in use can be started with no more than a number of engines.
    is_plain: AtomicBool,
    /// Held while a cluster is started or connected to: others who need one wait for it.
    starting: tokio::sync::Mutex<()>,
}

/// The right to give the notebook a cluster, which one has at a time. Dropping it lets others.
pub struct Turn<'a> {
    _alone: tokio::sync::MutexGuard<'a, ()>,
}

impl Engines {
    /// Of a notebook that has none yet.
    pub fn new(config: NotebookConfig, compiler: CompilerThread, jobs: Jobs) -> Engines {
        Engines(Arc::new(Shared {
            config,
            compiler,
            jobs,
            cluster: Mutex::default(),
            is_plain: AtomicBool::new(true),
            starting: tokio::sync::Mutex::default(),
        }))
    }

    /// The cluster in use.
    pub fn current(&self) -> Option<Arc<Cluster>> {
        self.0.cluster.lock().clone()
    }

    /// Waits until nobody else is about to give the notebook a cluster. Only now is it known whether it has one.
    pub async fn turn(&self) -> Turn<'_> {
        Turn { _alone: self.0.starting.lock().await }
    }

    /// From now on this one is used. Whoever has the turn has left the one before.
    pub fn set(&self, mut cluster: Cluster, _turn: &Turn<'_>) -> Arc<Cluster> {
        cluster.lend(|folder| self.0.jobs.lend(folder));
        let cluster = Arc::new(cluster);
        *self.0.cluster.lock() = Some(Arc::clone(&cluster));
        cluster
    }

    /// From now on none is used, if it is one of these. The compiler forgets what the engines had.
    pub fn take_if(&self, which: impl FnOnce(&Cluster) -> bool) -> Option<Arc<Cluster>> {
        let cluster = self.0.cluster.lock().take_if(|cluster| which(cluster))?;
        self.0.compiler.send(|compiler| compiler.namespaces_mut().forget(|member| member == Member::Local));
        Some(cluster)
    }

    /// The cluster; the first that asks starts one.
    pub async fn get(&self, publisher: &Publisher, interrupted: &Interrupted) -> Result<Arc<Cluster>, Failure> {
        match self.living(publisher, interrupted).await? {
            Ok(cluster) => {
                wake(&cluster, publisher, interrupted).await?;
                Ok(cluster)
            }
            Err(gone) => {
                let what = self.tell_lost().await.unwrap_or(gone);
                self.leave_lost().await;
                Err(cluster_lost(&what))
            }
        }
    }

    /// The cluster, started if there is none, or that it is gone.
    async fn living(
        &self,
        publisher: &Publisher,
        interrupted: &Interrupted,
    ) -> Result<Result<Arc<Cluster>, String>, Failure> {
        if let Some(cluster) = self.current().filter(|cluster| cluster.lost().is_none()) {
            return Ok(Ok(cluster));
        }
        let living = async {
            let turn = self.turn().await;
            let Some(cluster) = self.current() else { return self.start_default(publisher, &turn).await.map(Ok) };
            let Some(reason) = cluster.lost() else { return Ok(Ok(cluster)) };
            Ok(Err(format!("the cluster `{}` is gone: {reason}", cluster.name())))
        };
        let mut interrupted = interrupted.clone();
        tokio::select! {
            cluster = living => cluster,
            () = interrupted.next() => Err(failure(Kind::Interrupted, "no cluster was started")),
        }
    }

    async fn start_default(&self, publisher: &Publisher, turn: &Turn<'_>) -> Result<Arc<Cluster>, Failure> {
        let engines = self.0.config.before.or(self.0.config.engines).unwrap_or_else(default_engines);
        let (name, transport, pool, record) = (None, Transport::Ipc, Pool::default(), None);
        let (min, adapt) = (None, None);
        self.start(StartCluster { name, engines, transport, pool, record, min, adapt }, publisher, turn).await
    }

    /// Starts a cluster and uses it.
    pub async fn start(
        &self,
        start: StartCluster,
        publisher: &Publisher,
        turn: &Turn<'_>,
    ) -> Result<Arc<Cluster>, Failure> {
        let (wanted, started) = (start.engines, Instant::now());
        let is_plain = start.pool == Pool::default() && start.adapt.is_none();
        let Shared { config, compiler, .. } = &*self.0;
        let cluster = Cluster::start(start, &config.runtime, config.launch(), compiler, publisher)
            .await
            .map_err(|error| failure(Kind::ClusterError, error.to_string()))?;
        let joined = cluster.engines().len() as u32;
        let missing = match wanted.saturating_sub(joined) {
            0 => String::new(),
            missing => format!("; {missing} more haven't joined yet"),
        };
        let time = started.elapsed().as_secs_f64();
        let before = if config.before == Some(wanted) { ", as many as before the restart" } else { "" };
        let name = cluster.name();
        publisher
            .say(&format!("Started the cluster `{name}` with {joined} engines in {time:.2} s{missing}{before}."))
            .await;
        self.0.is_plain.store(is_plain, Ordering::Relaxed);
        Ok(self.set(cluster, turn))
    }

    /// How many engines the next kernel is to start, if Jupyter starts it in the place of this one: as many as this one
    /// has, where it started them and a number says it all; as many as the one before had, if it never needed any.
    pub fn to_start_again(&self) -> Option<u32> {
        match self.current() {
            None => self.0.config.before,
            Some(cluster) if cluster.is_own() && self.0.is_plain.load(Ordering::Relaxed) => {
                Some(cluster.engines().len() as u32).filter(|engines| *engines > 0)
            }
            Some(_) => None,
        }
    }

    /// Leaves the cluster, with all that the notebook had there.
    pub async fn leave(&self) {
        self.leave_if(|_| true).await;
    }

    /// The same, unless it lives: others may have started one meanwhile.
    pub async fn leave_lost(&self) {
        self.leave_if(|cluster| cluster.lost().is_some()).await;
    }

    async fn leave_if(&self, which: impl FnOnce(&Cluster) -> bool) {
        if let Some(cluster) = self.take_if(which) {
            close(&cluster).await;
            cluster.leave().await;
        }
    }

    /// Warns once that the cluster is gone, if it is.
    pub async fn warn_of_loss(&self, publisher: &Publisher) {
        if let Some(what) = self.tell_lost().await {
            publisher.warn(&what).await;
        }
    }

    /// Says once that the cluster is gone: who ended it, and which variables went with it.
    pub async fn tell_lost(&self) -> Option<String> {
        let cluster = self.current()?;
        let (why, engines) = cluster.tell_lost()?;
        let died = move |compiler: &mut Compiler| {
            let lost =
                engines.iter().flat_map(|engine| compiler.died(Member::Engine(*engine), Death::EngineLost, None));
            lost.collect::<BTreeSet<String>>()
        };
        let lost: Vec<String> = self.0.compiler.with(died).await.unwrap_or_default().into_iter().collect();
        Some(format!("the cluster `{}` is gone: {why}{}", cluster.name(), losses(&lost)))
    }
}

/// Where the number of engines follows the work, all may have left. One comes again.
async fn wake(cluster: &Cluster, publisher: &Publisher, interrupted: &Interrupted) -> Result<(), Failure> {
    if !cluster.engines().is_empty() {
        return Ok(());
    }
    let refused = |error: ClusterError| failure(Kind::ClusterError, error.to_string());
    let status = cluster.status().await.map_err(refused)?;
    if status.adapt.is_none() {
        return Ok(());
    }
    cluster.expect_engines();
    if status.starting == 0 {
        cluster.steer(Order::Scale { engines: 1 }).await.map_err(refused)?;
    }
    let mut interrupted = interrupted.clone();
    tokio::select! {
        () = joining(cluster, (1, 1), Patience::THERE, publisher) => Ok(()),
        () = interrupted.next() => Err(failure(Kind::Interrupted, "no engine has joined yet")),
    }
}

fn cluster_lost(what: &str) -> Failure {
    failure(Kind::ClusterLost, format!("{what}\nRun the cell again for a new cluster."))
}

/// Closes the session, which ends the runs that others follow, and waits a little until they have drawn their
/// conclusions: the next cluster's engines have the same numbers.
pub async fn close(cluster: &Arc<Cluster>) {
    cluster.session().close();
    for _ in 0..100 {
        if Arc::strong_count(cluster) == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// How many engines a cluster has that nobody said a number for: one for each core, at least 2.
pub fn default_engines() -> u32 {
    std::thread::available_parallelism().map_or(2, |cores| cores.get() as u32).max(2)
}
