//! `chorus start`, `stop`, `list`, `status`, `engine`: clusters that outlive notebooks.

use crate::places::{engine_program, runtime_folder};
use chorus_client::Client;
use chorus_controller::{ClusterEntry, Controller, ControllerConfig, Launch, Transport, list_clusters};
use chorus_protocol::{ClusterStatus, Connection};
use clap::Args;
use serde_json::json;
use std::error::Error;
use std::ffi::OsString;
use std::io::{IsTerminal, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// A cluster that nobody named.
const DEFAULT: &str = "default";

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
    /// Listen on ports of 127.0.0.1 instead of in a private folder
    #[arg(long)]
    tcp: bool,
    /// Stay in the foreground, until Ctrl-C
    #[arg(long)]
    foreground: bool,
}

#[derive(Args, Debug)]
pub struct Named {
    /// The cluster; the only one if there is just one
    pub name: Option<String>,
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
    /// Have objects sent, even if the controller's folder can be opened
    #[arg(long)]
    no_shared_files: bool,
}

/// Starts a cluster, as a process of its own unless it is to stay in the foreground.
pub fn start(start: Start) -> Result<ExitCode, Box<dyn Error>> {
    let engines = start.engines.unwrap_or_else(chorus_cells::default_engines);
    match start.foreground {
        true => foreground(&start, engines),
        false => background(&start, engines),
    }
}

fn foreground(start: &Start, engines: u32) -> Result<ExitCode, Box<dyn Error>> {
    crate::log();
    let (program, args) = engine_program(&std::env::current_exe()?);
    let config = ControllerConfig {
        name: start.name.clone(),
        runtime: runtime_folder(),
        transport: if start.tcp { Transport::Tcp } else { Transport::Ipc },
        engines,
        launcher: Some(Launch { program, args, env: Vec::new() }),
        heartbeat: Duration::from_secs(1),
        record: None,
    };
    crate::runtime()?.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let controller = Controller::start(config).await?;
        println!("{}", controller.connection_file().display());
        tokio::select! {
            () = controller.stopped() => {}
            _ = interrupt.recv() => controller.stop().await,
            _ = terminate.recv() => controller.stop().await,
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Starts the same in the background, and waits until its engines have joined.
fn background(start: &Start, engines: u32) -> Result<ExitCode, Box<dyn Error>> {
    let begun = Instant::now();
    let mut args: Vec<OsString> =
        vec!["start".into(), "--foreground".into(), "--name".into(), start.name.clone().into()];
    args.extend(["--engines".into(), engines.to_string().into()]);
    args.extend(start.tcp.then(|| "--tcp".into()));
    let mut command = Command::new(std::env::current_exe()?);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn()?;
    // One line says that clients can connect; the end of the stream, that it failed.
    let mut file = Vec::new();
    if let Some(stdout) = &mut child.stdout {
        let mut byte = [0];
        while stdout.read(&mut byte)? == 1 && byte != *b"\n" {
            file.push(byte[0]);
        }
    }
    if file.is_empty() {
        let mut why = String::new();
        if let Some(stderr) = &mut child.stderr {
            stderr.read_to_string(&mut why)?;
        }
        child.wait()?;
        return Err(why.trim().trim_start_matches("chorus: ").to_owned().into());
    }
    let connection = Connection::read(Path::new(std::str::from_utf8(&file)?))?;
    let status = crate::runtime()?.block_on(joined(&connection, engines))?;
    let count = status.engines.len();
    let time = begun.elapsed().as_secs_f64();
    println!(
        "Started the cluster `{}` with {count} engines in {time:.2} s (controller: pid {}).",
        status.name, status.pid
    );
    println!("In a notebook: %cluster connect {}", status.name);
    if count < engines as usize {
        return Err(
            format!("only {count} of {engines} engines joined; `chorus status {}` tells more", status.name).into()
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn joined(connection: &Connection, engines: u32) -> Result<ClusterStatus, Box<dyn Error>> {
    let (client, mut status) = Client::connect(connection, "`chorus start`").await?;
    let deadline = Instant::now() + JOIN_LIMIT;
    while status.engines.len() < engines as usize && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
        status = client.status().await?;
    }
    Ok(status)
}

/// The cluster of this name; without a name the only one.
pub fn find(name: Option<&str>) -> Result<ClusterEntry, Box<dyn Error>> {
    let mut running: Vec<ClusterEntry> =
        list_clusters(&runtime_folder()).into_iter().filter(|entry| entry.alive).collect();
    let names: Vec<String> = running.iter().map(|entry| format!("`{}`", entry.name)).collect();
    match name {
        Some(name) => match running.iter().position(|entry| entry.name == name) {
            Some(at) => Ok(running.swap_remove(at)),
            None if names.is_empty() => Err(format!("there is no cluster `{name}`, and no other").into()),
            None => Err(format!("there is no cluster `{name}`; running: {}", names.join(", ")).into()),
        },
        None if running.len() > 1 => Err(format!("which cluster? Running: {}", names.join(", ")).into()),
        None => running.pop().ok_or_else(|| "no cluster is running; `chorus start` starts one".into()),
    }
}

async fn connect(entry: &ClusterEntry, who: &str) -> Result<(Client, ClusterStatus), Box<dyn Error>> {
    Ok(Client::connect(&Connection::read(&entry.connection_file)?, who).await?)
}

/// Stops a cluster and waits until it is gone. Says whom that cuts off.
pub fn stop(stop: &Stop) -> Result<(), Box<dyn Error>> {
    let entry = find(stop.cluster.name.as_deref())?;
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
        println!("Stopped the cluster `{name}`.{users}");
        Ok(())
    })
}

/// Lists the clusters that run.
pub fn list(list: &List) -> Result<(), Box<dyn Error>> {
    let running: Vec<ClusterEntry> = list_clusters(&runtime_folder()).into_iter().filter(|entry| entry.alive).collect();
    if list.json {
        let entries: Vec<_> = running
            .iter()
            .map(|entry| json!({"name": entry.name, "pid": entry.pid, "connection_file": entry.connection_file}))
            .collect();
        println!("{}", serde_json::to_string_pretty(&entries)?);
        return Ok(());
    }
    if running.is_empty() {
        println!("No cluster is running; `chorus start` starts one.");
    }
    for entry in running {
        println!("{:<20} pid {:<8} {}", entry.name, entry.pid, entry.connection_file.display());
    }
    Ok(())
}

/// Shows one cluster.
pub fn status(status: &Status) -> Result<(), Box<dyn Error>> {
    let entry = find(status.cluster.name.as_deref())?;
    let (_, found) = crate::runtime()?.block_on(connect(&entry, "`chorus status`"))?;
    if status.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        let shown = chorus_render::status::cluster(&found);
        println!("{}", shown["text/plain"].as_str().unwrap_or_default().trim_end());
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
    command.args(engine.no_shared_files.then_some("--no-shared-files"));
    // The engine takes this process over, with its signals.
    Err(command.exec().into())
}
