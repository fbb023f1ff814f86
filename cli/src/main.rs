//! `chorus`: the command line. It reads arguments and calls the crates that do the work.

// All that is printed goes through `out`.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod cache;
mod cluster;
mod gpu;
mod install;
mod kernel;
mod logs;
mod metrics;
mod notebook;
mod out;
mod places;
mod steer;
mod top;

use chorus_gpu::cuda::helper;
use chorus_system::parent;
use clap::{Args, Parser, Subcommand};
use install::Where;
use out::say;
use std::error::Error;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// A Jupyter kernel for Rust with parallel magics.
#[derive(Parser, Debug)]
#[command(name = "chorus", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  chorus install --user                 make \"Rust (Chorus)\" a kernel of your Jupyter
  chorus run notebooks/tour.ipynb       run a notebook without Jupyter
  chorus start -n 8 --name lab          start a cluster; in a notebook: %cluster connect lab
  chorus status lab                     see what its engines do
  chorus top lab                        watch them in the terminal

Exit status:
  0 all went well            2 wrong arguments, or no notebook     130 Ctrl-C
  1 something failed         124 --timeout ran out

Environment:
  CHORUS_RUNTIME_DIR         where clusters keep their sockets
  CHORUS_DATA_DIR            where recordings of clusters and the history of cells are kept
  CHORUS_CACHE_DIR           where compiled cells and dependencies are kept
  CHORUS_CACHE_MB            how much of cells, at most [default: 512]; 0 keeps nothing
  CHORUS_COMPILER_MINUTES    how long a compiler stays in memory that nobody uses [default: 10];
                             with 0, kernels share none
  CHORUS_DEPENDENCIES_MB     how much of dependencies, but for today's [default: 10240]
  CHORUS_ENGINES             how many engines a notebook's own cluster has
  CHORUS_GPU                 what engines do with GPUs: `off` leaves them alone
  CHORUS_NVRTC               NVIDIA's compiler for `%%cuda`: libnvrtc's file or folder
  CHORUS_LOG                 what is logged to stderr, such as `debug`";

#[derive(Subcommand, Debug)]
enum Command {
    /// Install the kernel into Jupyter
    Install(InstallFor),
    /// Remove the kernel from Jupyter
    Uninstall(InstallFor),
    /// Run the kernel; Jupyter calls this
    Kernel {
        /// Jupyter's connection file
        #[arg(long, short = 'f', value_name = "FILE")]
        connection_file: PathBuf,
    },
    /// Run a notebook's cells without Jupyter, and show their outputs
    ///
    /// Cells run in a fresh kernel, in order, up to the first that fails (cells tagged `raises-exception` may fail).
    Run(Box<notebook::RunArgs>),
    /// Answer papermill's translator: parameters as JSON on stdin, a cell on stdout
    #[command(hide = true)]
    TranslateParameters,
    /// Show or empty the cache of compiled cells
    #[command(subcommand)]
    Cache(cache::Cache),
    /// Prepare this machine's Rust for maps on GPUs, or show what there is
    #[command(subcommand)]
    Gpu(gpu::Gpu),
    /// Start a cluster that outlives notebooks
    Start(Box<cluster::Start>),
    /// Stop a cluster
    Stop(cluster::Stop),
    /// List the clusters of this user on this host
    List(cluster::List),
    /// Show a cluster and its engines
    Status(cluster::Status),
    /// Show what happened in a cluster, and what its engines wrote
    Logs(logs::Logs),
    /// Have a cluster have so many engines: more are started, or the last ones leave when they have done what they have
    Scale(steer::Scale),
    /// Have a cluster have as many engines as there is work for
    Adapt(steer::Adapt),
    /// Have a cluster have more engines, from anywhere: this host, others, a batch system
    Add(Box<steer::Add>),
    /// Interrupt what runs on engines, whoever runs it
    Interrupt(steer::Targets),
    /// Give engines fresh workers: the variables of all notebooks on them are lost
    Restart(steer::Targets),
    /// Send a signal to engines' processes; those that end are started again
    Kill(steer::Kill),
    /// Let engines leave when they have done what they have
    Drain(steer::Targets),
    /// Watch a cluster in the terminal: engines, tasks, time, memory, logs, and what is wrong
    Top(top::Top),
    /// Add an engine to a cluster by hand; it stays until the cluster stops or Ctrl-C
    Engine(cluster::Engine),
}

#[derive(Args, Debug)]
#[group(multiple = false)]
struct InstallFor {
    /// For this user (the default)
    #[arg(long)]
    user: bool,
    /// For the Jupyter that is installed under this prefix
    #[arg(long, value_name = "P")]
    prefix: Option<PathBuf>,
    /// For the Jupyter of the active virtual environment, or of the python3 on the PATH
    #[arg(long)]
    sys_prefix: bool,
    /// For all users
    #[arg(long)]
    system: bool,
}

impl InstallFor {
    fn folder(self) -> Where {
        match (self.prefix, self.sys_prefix, self.system) {
            (Some(prefix), _, _) => Where::Prefix(prefix),
            (None, true, _) => Where::SysPrefix,
            (None, false, true) => Where::System,
            (None, false, false) => Where::User,
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.filter(|time| !time.is_zero()).ok_or_else(|| "write a number of seconds above 0".into())
}

/// Is NVRTC for this kernel, with which it ends.
fn nvrtc_main(kernel: &OsStr) -> ExitCode {
    let kernel = kernel.to_str().and_then(|id| id.parse().ok());
    match kernel.map(|id| parent::die_with(id, parent::AtItsEnd::Kill)) {
        Some(Ok(())) => helper::main(),
        _ => ExitCode::FAILURE,
    }
}

fn main() -> ExitCode {
    // What other programs start us as, before any thread and any parsing.
    let mut args = std::env::args_os().skip(1);
    chorus_kernel::become_tool();
    match (args.next().as_deref().and_then(OsStr::to_str), args.next()) {
        (Some(kernel::RELAY), Some(socket)) => return chorus_kernel::relay_main(Path::new(&socket)),
        (Some(kernel::COMPILER), Some(folder)) => {
            // rust-analyzer has much to tell, at any other level.
            log_to_stderr("warn");
            // SAFETY: nothing has started a thread yet.
            return unsafe { chorus_kernel::compiler_main(Path::new(&folder)) };
        }
        (Some(chorus_engine::program::WORKER), _) => chorus_engine::worker_main(),
        (Some(chorus_engine::gpu::GPU), Some(number)) => {
            return chorus_engine::gpu::main(std::iter::once(number).chain(args));
        }
        (Some(helper::NVRTC), Some(kernel)) => return nvrtc_main(&kernel),
        (Some(places::ENGINE), Some(outpost)) if outpost == chorus_remote::outpost::OUTPOST => {
            let args = std::iter::once(outpost).chain(args);
            return chorus_remote::outpost::main(&[places::ENGINE.into()], args);
        }
        (Some(places::ENGINE), Some(deputies)) if deputies == chorus_remote::deputies::DEPUTIES => {
            return chorus_remote::deputies::main(args);
        }
        (Some(places::ENGINE), _) => return chorus_engine::program::engine_main(std::env::args_os().skip(1)),
        _ => {}
    }
    match run(Cli::parse().command) {
        Ok(status) => status,
        Err(error) => {
            out::complain(&*error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Box<dyn Error>> {
    match command {
        Command::Kernel { connection_file } => return kernel::run(&connection_file),
        Command::Install(whom) => {
            let folder = install::install(&whom.folder(), &std::env::current_exe()?)?;
            say!("Installed the kernel \"Rust (Chorus)\" in {}", folder.display())?;
        }
        Command::Uninstall(whom) => say!("Removed {}", install::uninstall(&whom.folder())?.display())?,
        Command::Run(args) => return run_notebook(*args),
        Command::TranslateParameters => say!("{}", notebook::translate()?)?,
        Command::Cache(command) => cache::run(&command)?,
        Command::Gpu(command) => gpu::run(&command)?,
        Command::Start(start) => return cluster::start(&start),
        Command::Stop(stop) => cluster::stop(&stop)?,
        Command::List(list) => cluster::list(&list)?,
        Command::Status(status) => cluster::status(&status)?,
        Command::Logs(wanted) => logs::logs(&wanted)?,
        Command::Scale(scale) => steer::scale(&scale)?,
        Command::Adapt(adapt) => steer::adapt(&adapt)?,
        Command::Add(add) => steer::add(&add)?,
        Command::Interrupt(targets) => steer::interrupt(&targets)?,
        Command::Restart(targets) => steer::restart(&targets)?,
        Command::Kill(kill) => steer::kill(&kill)?,
        Command::Drain(targets) => steer::drain(&targets)?,
        Command::Top(top) => return top::run(top),
        Command::Engine(engine) => return cluster::engine(&engine),
    }
    Ok(ExitCode::SUCCESS)
}

fn run_notebook(args: notebook::RunArgs) -> Result<ExitCode, Box<dyn Error>> {
    log();
    let done = match args.help_parameters() {
        Some(Ok(help)) => {
            out::print(format_args!("{help}"))?;
            Ok(0)
        }
        Some(Err(error)) => Err(error),
        None => match args.options() {
            Ok(options) => runtime()?.block_on(notebook::run(options)).map(|finished| finished.exit_code()),
            Err(error) => Err(error),
        },
    };
    Ok(ExitCode::from(done.unwrap_or_else(|error| {
        out::complain(&error);
        error.exit_code()
    })))
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

fn log() {
    log_to_stderr(&std::env::var("CHORUS_LOG").unwrap_or_else(|_| "warn,zeromq=error".into()));
}

fn log_to_stderr(filter: &str) {
    let filter = tracing_subscriber::EnvFilter::new(filter);
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn seconds_are_positive() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        for wrong in ["0", "-1", "x", "inf", "nan", ""] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
