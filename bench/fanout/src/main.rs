//! How long from a compiled cell at hand to the reply of the last engine?
//!
//! Embeds a controller as the kernel does, starts real engines, and broadcasts small objects, each of them new to the
//! cluster, as every new cell's is. Prints the times as JSON. It needs `rustc`, once, for the object; evcxr has no part
//! in it.

use bytes::Bytes;
use chorus_client::{Client, Session};
use chorus_controller::{Controller, ControllerConfig, Launch, Pool, Transport};
use chorus_protocol::{BlobId, EngineId, Outcome, RunEvent, RunSpec, SnapshotPolicy, Target};
use clap::Parser;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A cell's object has one entry, which takes and returns the store of variables.
const CELL: &str = r#"
#[unsafe(no_mangle)]
pub extern "C" fn bench_cell(variables: *mut std::ffi::c_void) -> *mut std::ffi::c_void {
    variables
}
"#;

/// Objects of cells have between 5 and 45 KB, and libstd stands beside them.
const OBJECT_SIZE: usize = 45 << 10;

/// The first runs start workers and load libstd's pages.
const WARM_UP: usize = 5;

/// Measures the fan-out of a compiled cell, from the object at hand to the last engine's reply.
#[derive(Debug, Parser)]
struct Args {
    /// The program `chorus-engine`
    #[arg(long, value_name = "FILE")]
    engine: PathBuf,
    /// How many engines
    #[arg(long, value_name = "N", default_value_t = 4)]
    engines: u32,
    /// How many objects to send
    #[arg(long, value_name = "N", default_value_t = 200)]
    repeat: usize,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let folder = tempfile::tempdir()?;
    let object = compile(folder.path())?;
    let controller = Controller::start(ControllerConfig {
        name: "fanout".into(),
        runtime: folder.path().join("run"),
        transport: Transport::Ipc,
        engines: args.engines,
        launcher: Some(Launch::new(std::fs::canonicalize(&args.engine)?, vec![])),
        pool: Pool::default(),
        adapt: None,
        heartbeat: Duration::from_secs(1),
        record: None,
        stay: Duration::ZERO,
    })
    .await?;
    let (client, _) = Client::connect(controller.connection(), "bench").await?;
    let engines = join(&client, args.engines).await?;
    let (session, _events) = client.open_session();
    let standard_library = session.put_library(standard_library()?);
    let mut milliseconds = Vec::with_capacity(args.repeat);
    for number in 0..WARM_UP + args.repeat {
        let object = new_object(&object, number);
        let begin = Instant::now();
        broadcast(&session, standard_library, object, &engines).await?;
        if number >= WARM_UP {
            milliseconds.push(begin.elapsed().as_secs_f64() * 1000.0);
        }
    }
    controller.stop().await;
    println!("{}", serde_json::json!({ "engines": args.engines, "milliseconds": milliseconds }));
    Ok(())
}

fn compile(folder: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let (source, object) = (folder.join("cell.rs"), folder.join("cell.so"));
    std::fs::write(&source, CELL)?;
    let mut rustc = Command::new("rustc");
    rustc
        .args(["--edition=2024", "--crate-type=cdylib", "-Cprefer-dynamic", "-Cstrip=symbols", "-o"])
        .arg(&object)
        .arg(&source);
    let status = rustc.status()?;
    if !status.success() {
        return Err(format!("{rustc:?} ended with {status}").into());
    }
    Ok(std::fs::read(object)?)
}

/// The standard library, without which the object can't be loaded.
fn standard_library() -> Result<Bytes, Box<dyn Error>> {
    let printed = Command::new("rustc").args(["--print", "target-libdir"]).output()?.stdout;
    let folder = PathBuf::from(String::from_utf8(printed)?.trim());
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("libstd-") && name.ends_with(".so") {
            return Ok(std::fs::read(&path)?.into());
        }
    }
    Err(format!("there is no libstd-*.so in {}", folder.display()).into())
}

/// The object with something at its end that the loader doesn't look at: no two have the same hash, and all are as
/// large as those of big cells.
fn new_object(object: &[u8], number: usize) -> Bytes {
    let mut bytes = object.to_vec();
    bytes.resize(bytes.len().max(OBJECT_SIZE), 0);
    bytes.extend(number.to_le_bytes());
    bytes.into()
}

async fn join(client: &Client, engines: u32) -> Result<Vec<Target>, Box<dyn Error>> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let joined = client.status().await?.engines;
        if joined.len() == engines as usize {
            return Ok(joined.iter().map(|engine| Target { engine: engine.id, generation: None }).collect());
        }
        if Instant::now() > deadline {
            return Err(format!("waited 30 s for {engines} engines; {} joined", joined.len()).into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Sends an object that the cluster hasn't got, runs it everywhere and takes all that comes back.
async fn broadcast(
    session: &Session,
    library: BlobId,
    object: Bytes,
    targets: &[Target],
) -> Result<(), Box<dyn Error>> {
    let object = session.put_blob(object);
    let spec = RunSpec {
        preload: vec![library],
        object: object.id(),
        entry: "bench_cell".into(),
        argument: Bytes::new(),
        together: None,
        map: None,
        label: "fan-out".into(),
        snapshots: SnapshotPolicy::default(),
    };
    let mut run = session.run(spec, targets.to_vec());
    let mut done = 0;
    while let Some((engine, event)) = run.next().await {
        match event {
            RunEvent::Done { outcome: Outcome::Ok, .. } => done += 1,
            RunEvent::Done { outcome, .. } => return Err(failed(engine, &outcome)),
            _ => {}
        }
    }
    if done != targets.len() {
        return Err(format!("{done} of {} engines replied", targets.len()).into());
    }
    Ok(())
}

fn failed(engine: EngineId, outcome: &Outcome) -> Box<dyn Error> {
    format!("engine {engine} couldn't run the object: {outcome:?}").into()
}
