//! `chorus start`, `stop`, `list`, `status`, `engine`: clusters that outlive notebooks.

use crate::metrics;
use crate::out::{self, say};
use crate::places::{engine_program, recordings_folder, runtime_folder};
use chorus_cells::Whereabouts;
use chorus_client::Client;
use chorus_controller::{ClusterEntry, Controller, ControllerConfig, Launch, Plan, Pool, Transport, list_clusters};
use chorus_history::Figures;
use chorus_magics::On;
use chorus_protocol::{ClusterStatus, Connection, EngineStatus, count, read_label};
use clap::Args;
use serde_json::json;
use std::error::Error;
use std::ffi::OsString;
use std::io::{IsTerminal, Read};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// A cluster that nobody named.
const DEFAULT: &str = "default";

/// In a cluster's folder, says where its figures are served.
const METRICS: &str = "metrics";

/// How long the engines of a new cluster may take to join.
const JOIN_LIMIT: Duration = Duration::from_secs(30);

#[derive(Args, Debug)]
pub struct Start {
    /// Engines [default: one for each core, at least 2]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    engines: Option<u32>,
    /// The cluster's name
    #[arg(long, default_value = DEFAULT)]
    name: String,
    /// What to call its engines, for `px::engines().labelled(..)`
    #[arg(long, value_name = "LABEL", value_parser = read_label)]
    label: Option<String>,
    /// Listen on ports of 127.0.0.1 instead of in a private folder
    #[arg(long)]
    tcp: bool,
    /// Record what happens in this file, for `chorus top --replay` [default: in Chorus's data folder]
    #[arg(long, value_name = "FILE", conflicts_with = "no_record")]
    record: Option<PathBuf>,
    /// Record nothing
    #[arg(long)]
    no_record: bool,
    /// Serve figures for Prometheus at this port of 127.0.0.1, or loopback address; 0 chooses a port [default: where a
    /// controller did that was killed]
    #[arg(long, value_name = "ADDR", value_parser = metrics::address)]
    metrics: Option<SocketAddr>,
    /// How long engines and notebooks wait for a controller that was killed to be started again, in seconds; 0 ends them
    /// with it
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    stay: u32,
    /// Where engines are started
    #[command(flatten)]
    on: On,
    /// Stay in the foreground, until Ctrl-C
    #[arg(long)]
    foreground: bool,
}

impl Start {
    /// Where to record what happens.
    fn recording(&self) -> Option<PathBuf> {
        let default = || Some(recordings_folder()?.join(format!("{}.jsonl", self.name)));
        if self.no_record { None } else { self.record.clone().or_else(default) }
    }
}

#[derive(Args, Debug)]
pub struct Named {
    /// The cluster; the only one if there is just one
    name: Option<String>,
}

impl Named {
    /// What the user wrote.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

#[derive(Args, Debug)]
pub struct Stop {
    #[command(flatten)]
    cluster: Named,
    /// Also while it runs cells; without a terminal, as in scripts, this goes without saying
    #[arg(long)]
    force: bool,
}

#[derive(Args, Debug)]
pub struct List {
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub struct Status {
    #[command(flatten)]
    cluster: Named,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub struct Engine {
    /// The cluster's connection file, or its name
    #[arg(long, value_name = "FILE|NAME")]
    connect: PathBuf,
    /// Join under this id
    #[arg(long, value_name = "N")]
    id: Option<u32>,
    /// What to call engines of its kind, for `px::engines().labelled(..)`
    #[arg(long, value_name = "LABEL", value_parser = read_label)]
    label: Option<String>,
    /// Have objects sent, even if the controller's folder can be opened
    #[arg(long)]
    no_shared_files: bool,
}

/// Starts a cluster, as a process of its own unless it is to stay in the foreground.
pub fn start(start: &Start) -> Result<ExitCode, Box<dyn Error>> {
    let found = chorus_cells::whereabouts(&start.on, start.engines, chorus_cells::default_engines)?;
    if start.on.dry_run {
        tell_plan(found, start.label.clone(), &start.name)?;
        return Ok(ExitCode::SUCCESS);
    }
    match start.foreground {
        true => foreground(start, found),
        false => background(start, found.engines, found.min),
    }
}

/// Tells what would be run, and prints the script that would be submitted, for files and pipes.
pub fn tell_plan(found: Whereabouts, label: Option<String>, name: &str) -> Result<(), Box<dyn Error>> {
    let (program, args) = engine_program(&std::env::current_exe()?);
    let launch = Launch::new(program, args);
    let Plan { steps, script } = Pool { label, ..found.pool }.plan(&launch, name, found.engines);
    out::note(format_args!("{steps}"));
    out::print(format_args!("{}", script.unwrap_or_default()))?;
    Ok(())
}

fn foreground(start: &Start, found: Whereabouts) -> Result<ExitCode, Box<dyn Error>> {
    crate::log();
    let (program, args) = engine_program(&std::env::current_exe()?);
    let Whereabouts { pool, engines, adapt, .. } = found;
    let launch = Launch::new(program, args);
    let config = ControllerConfig {
        name: start.name.clone(),
        runtime: runtime_folder(),
        transport: if start.tcp { Transport::Tcp } else { Transport::Ipc },
        engines,
        launcher: Some(launch),
        pool: Pool { label: start.label.clone(), ..pool },
        adapt,
        heartbeat: Duration::from_secs(1),
        record: start.recording(),
        stay: Duration::from_secs(start.stay.into()),
    };
    crate::runtime()?.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let listener = match start.metrics {
            Some(address) => Some(metrics::listen(address).await?),
            None => None,
        };
        let controller = Controller::start(config).await?;
        let file = controller.connection_file();
        let listener = match (listener, served(&file)) {
            (None, Some(before)) => metrics::listen_again(before).await,
            (given, _) => given,
        };
        let mut told = format!("{}\n", file.display());
        note_served(&file, listener.as_ref())?;
        if let Some(listener) = listener {
            told += &format!("http://{}/metrics\n", listener.local_addr()?);
            let connection = controller.connection().clone();
            tokio::spawn(async move {
                if let Err(error) = metrics::serve(listener, connection).await {
                    tracing::error!(%error, "metrics aren't served any more");
                }
            });
        }
        // At once: who has started this reads no further than it must.
        out::print(format_args!("{told}"))?;
        if let Some(engines) = controller.taken_back() {
            // `background` may have gone, after the first lines.
            _ = say!("An earlier controller was killed: taking its {} back.", count(engines.into(), "engine"));
        }
        tokio::select! {
            () = controller.stopped() => {}
            _ = interrupt.recv() => controller.stop().await,
            _ = terminate.recv() => controller.stop().await,
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Starts the same in the background, and waits until its engines have joined.
fn background(start: &Start, engines: u32, min: Option<u32>) -> Result<ExitCode, Box<dyn Error>> {
    let begun = Instant::now();
    let clusters = list_clusters(&runtime_folder());
    let was_served = clusters.iter().find(|entry| entry.name == start.name).and_then(|it| served(&it.connection_file));
    let mut args: Vec<OsString> =
        vec!["start".into(), "--foreground".into(), "--name".into(), start.name.clone().into()];
    args.extend(["--engines".into(), engines.to_string().into()]);
    args.extend(["--stay".into(), start.stay.to_string().into()]);
    args.extend(start.label.iter().flat_map(|label| ["--label".into(), label.into()]));
    args.extend(start.tcp.then(|| "--tcp".into()));
    args.extend(start.metrics.iter().flat_map(|address| ["--metrics".into(), address.to_string().into()]));
    args.extend(start.no_record.then(|| "--no-record".into()));
    args.extend(start.record.iter().flat_map(|file| ["--record".into(), file.into()]));
    args.extend(start.on.flags());
    let mut command = Command::new(std::env::current_exe()?);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn()?;
    // One line says that clients can connect; the end of the stream, that it failed.
    let file = child.stdout.as_mut().map(line).transpose()?.unwrap_or_default();
    if file.is_empty() {
        let mut why = String::new();
        if let Some(stderr) = &mut child.stderr {
            stderr.read_to_string(&mut why)?;
        }
        child.wait()?;
        return Err(why.trim().trim_start_matches("chorus: ").to_owned().into());
    }
    let file = Path::new(std::str::from_utf8(&file)?);
    let connection = Connection::read(file)?;
    let (before, status) = crate::runtime()?.block_on(joined(&connection, engines, min))?;
    let there = present(&status);
    let time = begun.elapsed().as_secs_f64();
    let name = &status.name;
    let prometheus = match (served(file), was_served) {
        (Some(address), _) => format!("\nFor Prometheus: http://{address}/metrics"),
        (None, Some(before)) if status.restarts > 0 => {
            format!("\nNothing is served for Prometheus any more: {before} can't be opened again.")
        }
        (None, _) => String::new(),
    };
    if status.restarts > 0 {
        let same =
            |engine: &&EngineStatus| before.engines.iter().any(|old| old.id == engine.id && old.info == engine.info);
        let back = status.engines.iter().filter(|engine| !engine.away).filter(same).count();
        let anew = match there - back {
            0 => String::new(),
            anew => format!(" and started {anew} anew"),
        };
        say!(
            "An earlier controller of the cluster `{name}` was killed: took its {} back{anew} in {time:.2} s \
             (controller: pid {}).{prometheus}",
            count(back as u64, "engine"),
            status.pid
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let counted = count(there as u64, "engine");
    say!("Started the cluster `{name}` with {counted} in {time:.2} s (controller: pid {}).", status.pid)?;
    say!("In a notebook: %cluster connect {name}{prometheus}")?;
    if there < min.unwrap_or(engines) as usize {
        return Err(
            format!("only {there} of {engines} engines joined; `chorus status {}` tells more", status.name).into()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Where figures are served, as the folder of the cluster says that has this connection file. The controller wrote it, or
/// the one in whose place it is.
fn served(connection_file: &Path) -> Option<SocketAddr> {
    std::fs::read_to_string(connection_file.with_file_name(METRICS)).ok()?.parse().ok()
}

fn note_served(connection_file: &Path, listener: Option<&TcpListener>) -> std::io::Result<()> {
    let note = connection_file.with_file_name(METRICS);
    match listener {
        Some(listener) => std::fs::write(note, listener.local_addr()?.to_string()),
        None if note.exists() => std::fs::remove_file(note),
        None => Ok(()),
    }
}

/// A line, and nothing behind it.
fn line(from: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while from.read(&mut byte)? == 1 && byte != *b"\n" {
        line.push(byte[0]);
    }
    Ok(line)
}

/// The cluster at first, and when its engines have joined or come back; a controller that takes the place of another
/// has that one's engines.
async fn joined(
    connection: &Connection,
    engines: u32,
    min: Option<u32>,
) -> Result<(ClusterStatus, ClusterStatus), Box<dyn Error>> {
    let (client, before) = Client::connect(connection, "`chorus start`").await?;
    let wanted = match before.restarts {
        0 => min.unwrap_or(engines) as usize,
        _ => before.engines.len() + before.starting as usize,
    };
    let mut status = before.clone();
    let mut deadline = Instant::now() + JOIN_LIMIT;
    let mut told = None;
    while present(&status) < wanted && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
        status = client.status().await?;
        // However long a queue is.
        if let Some(queue) = &status.queue {
            deadline = Instant::now() + JOIN_LIMIT;
            if told.as_ref() != Some(queue) {
                say!("{} of {engines} engines have joined; {queue}", present(&status))?;
                told = Some(queue.clone());
            }
        }
    }
    Ok((before, status))
}

fn present(status: &ClusterStatus) -> usize {
    status.engines.iter().filter(|engine| !engine.away).count()
}

/// The cluster of this name; without a name the only one.
pub fn find(name: Option<&str>) -> Result<ClusterEntry, Box<dyn Error>> {
    let clusters = list_clusters(&runtime_folder());
    let waiting = |entry: &&ClusterEntry| entry.awaited && name.is_none_or(|name| entry.name == name);
    let waiting = clusters.iter().find(waiting).map(|entry| entry.name.clone());
    let mut running: Vec<ClusterEntry> = clusters.into_iter().filter(|entry| entry.alive).collect();
    let names: Vec<String> = running.iter().map(|entry| format!("`{}`", entry.name)).collect();
    match name {
        Some(name) => match running.iter().position(|entry| entry.name == name) {
            Some(at) => Ok(running.swap_remove(at)),
            None if waiting.is_some() => Err(format!("the controller of the cluster `{name}` {}", waits(name)).into()),
            None if names.is_empty() => Err(format!("there is no cluster `{name}`, and no other").into()),
            None => Err(format!("there is no cluster `{name}`; running: {}", names.join(", ")).into()),
        },
        None if running.len() > 1 => Err(format!("which cluster? Running: {}", names.join(", ")).into()),
        None => running.pop().ok_or_else(|| match waiting {
            Some(name) => format!("the controller of the cluster `{name}` {}", waits(&name)).into(),
            None => "no cluster is running; `chorus start` starts one".into(),
        }),
    }
}

/// Connects to it; `who` is what its users see.
pub async fn connect(entry: &ClusterEntry, who: &str) -> Result<(Client, ClusterStatus), Box<dyn Error>> {
    Ok(Client::connect(&Connection::read(&entry.connection_file)?, who).await?)
}

/// Stops a cluster and waits until it is gone. Says whom that cuts off.
pub fn stop(stop: &Stop) -> Result<(), Box<dyn Error>> {
    let entry = find(stop.cluster.name())?;
    let name = &entry.name;
    crate::runtime()?.block_on(async {
        let (client, status) = connect(&entry, "`chorus stop`").await?;
        let users: String = status.users.iter().map(|user| format!("\n  {user}")).collect();
        let runs = status.users.iter().any(|user| user.running.is_some());
        if runs && !stop.force && std::io::stdin().is_terminal() {
            let how = format!("`chorus stop --force {name}` stops it all the same");
            return Err(
                format!("the cluster `{name}` runs cells, so it wasn't stopped; {how}. It is used by:{users}").into()
            );
        }
        client.shutdown().await?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while entry.connection_file.exists() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let users = if users.is_empty() { users } else { format!(" It was used by:{users}") };
        say!("Stopped the cluster `{name}`.{users}")?;
        Ok(())
    })
}

/// Lists the clusters that run, and those whose engines wait for a controller that was killed.
pub fn list(list: &List) -> Result<(), Box<dyn Error>> {
    let clusters = list_clusters(&runtime_folder()).into_iter().filter(|entry| entry.alive || entry.awaited);
    let clusters: Vec<ClusterEntry> = clusters.collect();
    let seen = crate::runtime()?.block_on(look_at(&clusters));
    if list.json {
        let entry = |(ClusterEntry { name, pid, connection_file, awaited, .. }, seen): (&ClusterEntry, &Option<_>)| {
            let state = if *awaited { "waiting" } else { "running" };
            let mut entry = json!({"name": name, "pid": pid, "connection_file": connection_file, "state": state});
            if let Some(ClusterStatus { engines, users, .. }) = seen {
                entry["engines"] = json!(engines.len());
                entry["users"] = users.iter().map(|user| json!(user.client)).collect();
            }
            entry
        };
        say!("{}", serde_json::to_string_pretty(&clusters.iter().zip(&seen).map(entry).collect::<Vec<_>>())?)?;
        return Ok(());
    }
    if clusters.is_empty() {
        say!("No cluster is running; `chorus start` starts one.")?;
    }
    for (ClusterEntry { name, pid, connection_file, awaited, .. }, seen) in clusters.iter().zip(seen) {
        match awaited {
            true => say!("{name:<20} pid {pid:<8} {}", waits(name))?,
            false => say!("{name:<20} pid {pid:<8} {}", connection_file.display())?,
        }
        let Some(ClusterStatus { engines, users, .. }) = seen else { continue };
        say!("  {}", count(engines.len() as u64, "engine"))?;
        users.iter().try_for_each(|user| say!("  {user}"))?;
    }
    Ok(())
}

/// What the clusters say of themselves, all asked at once: those that don't answer take their time.
async fn look_at(clusters: &[ClusterEntry]) -> Vec<Option<ClusterStatus>> {
    let asked = clusters.iter().map(|entry| async move {
        if entry.awaited {
            return None;
        }
        Some(connect(entry, "`chorus list`").await.ok()?.1)
    });
    futures::future::join_all(asked).await
}

fn waits(name: &str) -> String {
    format!("was killed, and its engines wait: `chorus start --name {name}` takes them back")
}

/// Shows one cluster.
pub fn status(status: &Status) -> Result<(), Box<dyn Error>> {
    let entry = find(status.cluster.name())?;
    let (found, figures) = crate::runtime()?.block_on(async {
        let (client, found) = connect(&entry, "`chorus status`").await?;
        let mut figures = Figures::default();
        client.log_now().await?.iter().for_each(|entry| figures.apply(entry));
        Ok::<_, Box<dyn Error>>((found, figures))
    })?;
    if status.json {
        say!("{}", serde_json::to_string_pretty(&found)?)?;
    } else {
        let shown = chorus_render::status::cluster(&found, &figures);
        say!("{}", shown["text/plain"].as_str().unwrap_or_default().trim_end())?;
    }
    Ok(())
}

/// Adds an engine by hand, in this process.
pub fn engine(engine: &Engine) -> Result<ExitCode, Box<dyn Error>> {
    let file = match engine.connect.is_file() {
        true => engine.connect.clone(),
        false => match find(Some(&engine.connect.to_string_lossy())) {
            Ok(entry) => entry.connection_file,
            Err(error) => return Err(format!("{} is no connection file, and {error}", engine.connect.display()).into()),
        },
    };
    let (program, args) = engine_program(&std::env::current_exe()?);
    let mut command = Command::new(program);
    command.args(args).arg("--connect").arg(file);
    command.args(engine.id.iter().flat_map(|id| ["--id".to_owned(), id.to_string()]));
    command.args(engine.label.iter().flat_map(|label| ["--label", label]));
    command.args(engine.no_shared_files.then_some("--no-shared-files"));
    // The engine takes this process over, with its signals.
    Err(command.exec().into())
}
