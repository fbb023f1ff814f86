//! The engine's command line, for the programs that are engines.

use crate::agent::{AgentConfig, run_agent};
use crate::gpu;
use crate::supervisor::WorkerConfig;
use chorus_protocol::{Connection, EngineId, read_label};
use clap::Parser;
use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// The first argument that makes a program a worker.
pub const WORKER: &str = "worker";

/// An engine of a Chorus cluster: joins the controller and runs cells.
#[derive(Debug, Parser)]
#[command(name = "chorus-engine", version)]
struct Args {
    /// The cluster's connection file
    #[arg(long, value_name = "FILE")]
    connect: PathBuf,
    /// Join under this id
    #[arg(long, value_name = "N")]
    id: Option<u32>,
    /// What to call engines of its kind
    #[arg(long, value_name = "LABEL", value_parser = read_label)]
    label: Option<String>,
    /// End when this process ends
    #[arg(long, value_name = "PID")]
    parent: Option<u32>,
    /// Have objects sent, even if the controller's folder can be opened
    #[arg(long)]
    no_shared_files: bool,
}

/// Is the engine, or the worker if that is what the arguments say.
pub fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == WORKER) {
        crate::worker_main();
    }
    if std::env::args_os().nth(1).is_some_and(|first| first == gpu::GPU) {
        return gpu::main(std::env::args_os().skip(2));
    }
    engine_main(std::env::args_os())
}

/// Is the engine that these arguments, the program's name first, ask for.
pub fn engine_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = Args::parse_from(args);
    let filter = EnvFilter::try_from_env("CHORUS_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chorus-engine: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let program = std::env::current_exe()?;
    // In the cluster's folder, which goes with the cluster however its engines end.
    let name = args.id.map_or_else(|| format!("of-{}", std::process::id()), |id| id.to_string());
    let socket = std::path::absolute(&args.connect)?.with_file_name(format!("gpu-{name}"));
    let has_gpu = gpu::start(program.clone(), &socket, args.id.unwrap_or_default())?;
    let env = has_gpu.then(|| (gpu::SOCKET.into(), socket.into())).into_iter().collect();
    let config = AgentConfig {
        connection: Connection::read(&args.connect)?,
        id: args.id.map(EngineId),
        label: args.label,
        worker: WorkerConfig { program, args: vec![WORKER.into()], env, folder: None },
        parent: args.parent,
        share_files: !args.no_shared_files,
    };
    // One thread is enough to move bytes, and takes less memory.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run_agent(config))?;
    Ok(())
}
