//! The pools of a cluster. Each is a place where engines are started, with a launcher of its own; the hosts of all of them
//! join by one gateway.

use super::distant::{pool_of, within};
use super::{Launch, Launcher, Way, on_other_hosts, on_this_host};
use crate::core::Exit;
use crate::folder::Folder;
use chorus_protocol::{Connection, EngineId, Group, Parting};
use chorus_remote::{Arrival, Gateway, GatewayConfig, Kept};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::str::FromStr;
use std::sync::Arc;
use tokio::sync::{OnceCell, mpsc};

/// Where engines are started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Where {
    /// On the controller's host.
    #[default]
    Here,
    /// On others.
    There(Way),
}

/// Engines that are started alike: some of a cluster's, or all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Where.
    pub place: Where,
    /// What to call them.
    pub label: Option<String>,
    /// On other hosts: lines of shell that come before an engine, and may change its environment. Nothing is started when one
    /// fails.
    pub setup: Vec<String>,
    /// At which ports, from the first to the last, other hosts may connect; any if `None`. All pools share one port: the first
    /// of other hosts decides.
    pub ports: Option<Ports>,
}

/// From the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// Not 0.
    pub first: u16,
    /// Not less.
    pub last: u16,
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Ports, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let ports = first.parse().and_then(|first| Ok(Ports { first, last: last.parse()? })).ok();
        let ports = ports.filter(|ports| ports.first > 0 && ports.first <= ports.last);
        ports.ok_or_else(|| "write a port, or the first and the last, such as 5000-5010".to_owned())
    }
}

impl std::fmt::Display for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl Pool {
    /// As [`chorus_protocol::Order::Add`] carries it.
    pub fn write(&self) -> String {
        // There is nothing in it that can't be written, but paths that are no text.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The reverse; an error is a sentence.
    pub(crate) fn read(text: &str) -> Result<Pool, String> {
        serde_json::from_str(text).map_err(|error| format!("there is no such place for engines: {error}"))
    }
}

/// What is called for each engine that has ended.
type Ended = Arc<dyn Fn(EngineId, Exit) + Send + Sync>;

/// See the module.
pub(crate) struct Pools {
    launch: Launch,
    connection: Connection,
    folder: Arc<Folder>,
    ended: Ended,
    /// By number: the launcher, or why there is none.
    launchers: Mutex<Vec<Result<Arc<dyn Launcher>, String>>>,
    /// In which pool engines are.
    engines: Mutex<HashMap<EngineId, usize>>,
    gateway: OnceCell<Arc<Gateway>>,
    /// Where outposts of each pool are expected.
    arrivals: Arc<Mutex<BTreeMap<u32, mpsc::UnboundedSender<Arrival>>>>,
}

impl std::fmt::Debug for Pools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&*self.launchers.lock()).finish()
    }
}

impl Pools {
    /// Without any pool. `ended` is called once for each engine that was started, and may be from any thread.
    pub fn new(
        launch: Launch,
        connection: &Connection,
        folder: Arc<Folder>,
        ended: impl Fn(EngineId, Exit) + Send + Sync + 'static,
    ) -> Pools {
        Pools {
            launch,
            connection: connection.clone(),
            folder,
            ended: Arc::new(ended),
            launchers: Mutex::default(),
            engines: Mutex::default(),
            gateway: OnceCell::new(),
            arrivals: Arc::default(),
        }
    }

    /// The next pool. If it can't be had, each engine that is started in it fails with the reason. To be called within a
    /// runtime.
    pub async fn add(&self, pool: Pool) -> io::Result<()> {
        let number = self.launchers.lock().len() as u32;
        let launch = self.launch.clone().within(&pool);
        let launcher = self.launcher(number, pool.place, pool.ports, launch).await;
        let (kept, result) = match launcher {
            Ok(launcher) => (Ok(launcher), Ok(())),
            Err(error) => (Err(error.to_string()), Err(error)),
        };
        self.launchers.lock().push(kept);
        result
    }

    async fn launcher(
        &self,
        number: u32,
        place: Where,
        ports: Option<Ports>,
        launch: Launch,
    ) -> io::Result<Arc<dyn Launcher>> {
        let ended = Arc::clone(&self.ended);
        let ended = move |engine, exit| ended(engine, exit);
        let stay = self.connection.stay;
        let way = match place {
            Where::Here => return on_this_host(launch, Arc::clone(&self.folder), stay == 0, ended),
            Where::There(way) => way,
        };
        let (sender, arrivals) = mpsc::unbounded_channel();
        self.arrivals.lock().insert(number, sender);
        let gateway = Arc::clone(self.gateway.get_or_try_init(|| self.open_gateway(ports)).await?);
        on_other_hosts(way, launch, (&self.connection.name, stay), (gateway, number), arrivals, ended)
    }

    /// Opens the port for other hosts: as an earlier controller had it, if there was one.
    async fn open_gateway(&self, ports: Option<Ports>) -> io::Result<Arc<Gateway>> {
        let connection = &self.connection;
        let kept = self.folder.path(GATEWAY);
        let again = std::fs::read(&kept).ok().and_then(|text| serde_json::from_slice::<Kept>(&text).ok());
        let (sender, mut arrived) = mpsc::unbounded_channel::<Arrival>();
        let config = GatewayConfig {
            cluster: connection.name.clone(),
            key: connection.key.clone(),
            engines: connection.engines.clone(),
            blobs: connection.blobs.clone(),
            folder: self.folder.root().to_owned(),
            program: (self.launch.program.clone(), self.launch.args.clone()),
            ports: ports.map(|ports| (ports.first, ports.last)),
            may_return: connection.stay > 0,
            again,
        };
        let gateway = Gateway::open(config, sender).await?;
        if connection.stay > 0 {
            let text = serde_json::to_vec(&gateway.keep()).map_err(io::Error::other)?;
            let mut file =
                std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(kept)?;
            file.write_all(&text)?;
        }
        let arrivals = Arc::clone(&self.arrivals);
        tokio::spawn(async move {
            while let Some(mut arrival) = arrived.recv().await {
                let place = arrival.hello.place;
                arrival.hello.place = within(place);
                match arrivals.lock().get(&pool_of(place)) {
                    Some(pool) => _ = pool.send(arrival),
                    None => tracing::warn!(place, "an outpost has come whose pool there isn't"),
                }
            }
        });
        Ok(Arc::new(gateway))
    }

    /// See [`Gateway::member_left`]. Without a gateway there are no engines on other hosts.
    pub fn member_left(&self, group: Group, rank: u32, how: Parting) {
        if let Some(gateway) = self.gateway.get() {
            gateway.member_left(group.name, group.members.len(), rank as usize, how.reason());
        }
    }

    fn launcher_of(&self, engine: EngineId) -> Option<Arc<dyn Launcher>> {
        let pool = *self.engines.lock().get(&engine)?;
        self.launchers.lock().get(pool)?.as_ref().ok().map(Arc::clone)
    }

    /// Starts these engines in a pool.
    pub fn start(&self, pool: usize, engines: &[EngineId]) {
        self.engines.lock().extend(engines.iter().map(|engine| (*engine, pool)));
        let launcher = match self.launchers.lock().get(pool) {
            Some(Ok(launcher)) => Ok(Arc::clone(launcher)),
            Some(Err(why)) => Err(why.clone()),
            None => Err("there is no such pool".to_owned()),
        };
        match launcher {
            Ok(launcher) => launcher.start(engines),
            Err(why) => engines.iter().for_each(|engine| (self.ended)(*engine, Exit::NotStarted(why.clone()))),
        }
    }

    /// See [`Launcher::adopt`].
    pub fn adopt(&self, pool: usize, engine: EngineId, pid: u32) {
        self.engines.lock().insert(engine, pool);
        match self.launcher_of(engine) {
            Some(launcher) => launcher.adopt(engine, pid),
            None => (self.ended)(engine, Exit::Unknown),
        }
    }

    /// See [`Launcher::is_waiting`].
    pub fn is_waiting(&self, engine: EngineId) -> bool {
        self.launcher_of(engine).is_some_and(|launcher| launcher.is_waiting(engine))
    }

    /// See [`Launcher::queue`].
    pub fn queue(&self) -> Option<String> {
        let queues: Vec<String> = self.all().iter().filter_map(|launcher| launcher.queue()).collect();
        (!queues.is_empty()).then(|| queues.join("; "))
    }

    /// See [`Launcher::end`].
    pub fn end(&self, engine: EngineId) {
        self.launcher_of(engine).into_iter().for_each(|launcher| launcher.end(engine));
    }

    /// See [`Launcher::signal`].
    pub fn signal(&self, engine: EngineId, signal: i32) {
        self.launcher_of(engine).into_iter().for_each(|launcher| launcher.signal(engine, signal));
    }

    /// See [`Launcher::end_all`].
    pub fn end_all(&self) {
        let launchers = self.all();
        // Each may have to wait for hosts.
        std::thread::scope(|scope| {
            for launcher in &launchers {
                scope.spawn(|| launcher.end_all());
            }
        });
    }

    fn all(&self) -> Vec<Arc<dyn Launcher>> {
        self.launchers.lock().iter().flatten().map(Arc::clone).collect()
    }
}

/// What is kept of the gateway while the cluster may be taken over.
const GATEWAY: &str = "gateway.json";

#[cfg(test)]
mod tests {
    use super::super::Ssh;
    use super::*;
    use chorus_protocol::Key;
    use std::time::Duration;

    fn pools() -> (tempfile::TempDir, Pools, std::sync::mpsc::Receiver<(EngineId, Exit)>) {
        let runtime = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder::create(runtime.path(), "test").unwrap().0);
        let connection = Connection {
            version: chorus_protocol::VERSION,
            name: "test".into(),
            pid: 1,
            engines: "ipc:///nowhere".into(),
            clients: "ipc:///nowhere".into(),
            blobs: folder.blobs(),
            stay: 0,
            key: Key::random(),
        };
        // Its arguments are those of an engine, behind the script.
        let args = vec!["-c".into(), "case \"$*\" in *big*) exit 3;; *late*) exec sleep 1000;; esac; exit 4".into()];
        let launch = Launch::new("/bin/sh", args);
        let (sender, exits) = std::sync::mpsc::channel();
        let pools = Pools::new(launch, &connection, folder, move |engine, exit| _ = sender.send((engine, exit)));
        (runtime, pools, exits)
    }

    fn labelled(label: &str) -> Pool {
        Pool { label: Some(label.into()), ..Pool::default() }
    }

    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test(flavor = "multi_thread")]
    async fn each_engine_is_its_own_pools() {
        let (_runtime, pools, exits) = pools();
        for pool in [Pool::default(), labelled("big"), labelled("late")] {
            pools.add(pool).await.unwrap();
        }
        pools.start(0, &[EngineId(0)]);
        assert_eq!(exits.recv_timeout(LIMIT), Ok((EngineId(0), Exit::Status(4))));
        pools.start(1, &[EngineId(0)]);
        assert_eq!(exits.recv_timeout(LIMIT), Ok((EngineId(0), Exit::Status(3))));
        pools.start(2, &[EngineId(1), EngineId(2)]);
        pools.signal(EngineId(1), 15);
        assert_eq!(exits.recv_timeout(LIMIT), Ok((EngineId(1), Exit::Signal(15))));
        pools.end_all();
        // Nobody knows these.
        pools.end(EngineId(7));
        pools.start(3, &[EngineId(3)]);
        assert!(matches!(exits.recv_timeout(LIMIT), Ok((EngineId(3), Exit::NotStarted(_)))));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn hosts_are_told_a_place_that_names_their_pool() {
        let (_runtime, pools, exits) = pools();
        pools.add(Pool::default()).await.unwrap();
        let ssh = |line: &str| {
            let hosts = super::super::parse_hosts("a,b").unwrap();
            let command = ["sh", "-c", line].map(str::to_owned).to_vec();
            Pool { place: Where::There(Way::Ssh(Ssh { hosts, command, tunnel: false })), ..Pool::default() }
        };
        pools.add(ssh("echo the first has none >&2; exit 1")).await.unwrap();
        pools.add(ssh("echo the second has none >&2; exit 1")).await.unwrap();
        for (pool, says) in [(2, "the second has none"), (1, "the first has none")] {
            let engine = EngineId(pool as u32);
            pools.start(pool, &[engine]);
            let (ended, exit) = exits.recv_timeout(LIMIT).unwrap();
            assert!(matches!(&exit, Exit::NotStarted(why) if why.contains(says)), "{exit:?}");
            assert_eq!(ended, engine);
        }
        for (place, pool, at) in [(0, 0, 0), (65_536, 1, 0), (131_075, 2, 3)] {
            assert_eq!((pool_of(place), within(place)), (pool, at));
        }
    }

    #[test]
    fn ports_are_one_or_a_range() {
        assert_eq!("5000".parse(), Ok(Ports { first: 5000, last: 5000 }));
        assert_eq!("5000-5010".parse(), Ok(Ports { first: 5000, last: 5010 }));
        for text in ["", "0", "5010-5000", "70000", "1-", "a"] {
            assert!(text.parse::<Ports>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_pool_is_what_was_written() {
        let pool = Pool { setup: vec!["module load x".into()], ..labelled("big") };
        assert_eq!(Pool::read(&pool.write()), Ok(pool));
        assert!(Pool::read("x").unwrap_err().starts_with("there is no such place for engines: "));
    }
}
