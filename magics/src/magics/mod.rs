//! The magics, each in a file of its own, and the list of them.

mod autopx;
mod bash;
mod cancel;
mod capture;
mod cd;
mod cluster;
mod cuda;
mod deps;
mod env;
mod file;
mod gather;
mod gpu;
mod history;
mod html;
mod javascript;
mod latex;
mod load;
mod load_ext;
mod lsmagic;
mod map;
mod markdown;
mod matplotlib;
mod pull;
mod push;
mod pwd;
mod px;
mod pxconfig;
mod pxresult;
mod reset;
mod run;
mod scatter;
mod script;
mod sh;
mod shown;
mod snapshot;
mod svg;
mod tasks;
mod time;
mod timeit;
mod transfer;
mod who;
mod whos;
mod writefile;

pub use self::{
    autopx::AutoPx,
    cancel::Cancel,
    capture::Capture,
    cd::Folder,
    cluster::{ClusterCommand, Limits, On},
    cuda::Cuda,
    deps::DepsCommand,
    env::Env,
    gpu::GpuStatus,
    history::History,
    load::Load,
    lsmagic::LsMagic,
    px::Px,
    px::PxOptions,
    pxconfig::PxDefaults,
    pxresult::PxResult,
    reset::Reset,
    run::RunFile,
    script::Input,
    script::Script,
    shown::Shown,
    snapshot::SnapshotCommand,
    tasks::Tasks,
    time::Time,
    timeit::TimeIt,
    timeit::TimeItFlags,
    who::Who,
    writefile::WriteFile,
};
pub use map::{Data, End, Gpu, Map, MapOptions, OnError};
pub use transfer::{Carried, Transfer, Way};

use crate::magic::{Entry, Name};
use crate::{Part, Targets};

/// What most magics use.
mod prelude {
    pub(super) use super::Command;
    pub(super) use crate::call::Call;
    pub(super) use crate::complete::What;
    pub(super) use crate::magic::{Form, Group, Magic};
    pub(super) use crate::values::{self, at_least_one, variable};
    pub(super) use crate::{Code, MagicError, Targets};
    pub(super) use clap::{Parser, ValueHint};
}

/// Makes [`Command`] and [`ALL`] of lines `What(Type): magics that ask for it`.
macro_rules! magics {
    ($($(#[$doc:meta])* $command:ident($type:ty): $($magic:ty),+;)+) => {
        /// What a magic asks for.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Command<'a> {
            $($(#[$doc])* $command($type),)+
            /// Run a line with sh.
            Shell(&'a str),
            /// Show [`Name::help`].
            Help(Name),
            /// Show it in the front end's pager, beside the notebook.
            Page(Name),
        }

        /// Every magic, in the order in which those of a group are listed.
        pub(crate) static ALL: &[Entry] = &[$($(Entry::of::<$magic>(),)+)+];
    };
}

magics! {
    /// Run code on engines.
    Px(Px<'a>): px::Flags;
    /// Begin to send all Rust to the engines, or end it.
    AutoPx(AutoPx): autopx::Flags;
    /// Show outputs again.
    PxResult(PxResult): pxresult::Flags;
    /// Set the defaults of the parallel magics, or show them.
    PxConfig(PxDefaults): pxconfig::Flags;
    /// Start, stop, show or join a cluster.
    Cluster(ClusterCommand): cluster::Flags;
    /// Show the engines' GPUs.
    Gpu(GpuStatus): GpuStatus;
    /// Define the kernels of a cell of CUDA C++.
    Cuda(Cuda<'a>): cuda::Flags;
    /// Apply a function to data on engines.
    Map(Box<Map<'a>>): map::Flags;
    /// Copy variables to or from engines.
    Transfer(Transfer): push::Push, pull::Pull, scatter::Scatter, gather::Gather;
    /// Show the maps and calls.
    Tasks(Tasks): Tasks;
    /// End some of them.
    Cancel(Cancel): cancel::Flags;
    /// Run something and tell how long that took.
    Time(Time<'a>): time::Flags;
    /// Run something many times and tell how long one takes.
    TimeIt(TimeIt<'a>): TimeItFlags;
    /// Run another program on the body of the cell.
    Script(Script<'a>): bash::Bash, sh::Sh, script::Flags;
    /// Show the body of the cell.
    Show(Shown<'a>): html::Html, markdown::Markdown, latex::Latex, svg::Svg, javascript::JavaScript;
    /// Run the cell without showing its outputs.
    Capture(Capture<'a>): capture::Flags;
    /// Write the body of the cell to a file.
    WriteFile(WriteFile<'a>): writefile::Flags, file::File;
    /// Put a file's text into the cell.
    Load(Load): Load;
    /// Run a file.
    Run(RunFile): RunFile;
    /// Change the folder of the notebook's cells, or show it.
    Folder(Folder): cd::Flags, pwd::Pwd;
    /// List the variables.
    Who(Who): who::Flags, whos::Whos;
    /// Show the environment of the notebook's cells, or change it.
    Env(Env): env::Flags;
    /// Forget variables and definitions.
    Reset(Reset): Reset;
    /// Show the cells that were run.
    History(History): history::Flags;
    /// Show the dependencies, or keep their versions.
    Deps(DepsCommand): deps::Flags;
    /// Say whether variables outlive a worker that dies.
    Snapshot(SnapshotCommand): snapshot::Flags;
    /// Show [`list`](crate::list).
    LsMagic(LsMagic): LsMagic;
    /// Say this.
    Say(String): load_ext::LoadExt, matplotlib::Matplotlib;
}

impl<'a> Command<'a> {
    /// The parts of the cell that it takes, if it takes one.
    pub fn parts(&self) -> Option<&[Part<'a>]> {
        match self {
            Command::Time(Time::Cell(parts)) | Command::Capture(Capture { parts, .. }) => Some(parts),
            _ => None,
        }
    }

    /// The same with these parts.
    pub(crate) fn with_parts(mut self, of_cell: Vec<Part<'a>>) -> Command<'a> {
        if let Command::Time(Time::Cell(parts)) | Command::Capture(Capture { parts, .. }) = &mut self {
            *parts = of_cell;
        }
        self
    }

    /// The engines on which the Rust runs that the magic takes; else it runs where the cell's other Rust does.
    pub(crate) fn engines(&self) -> Option<&Targets> {
        match self {
            Command::Px(px) => Some(&px.options.config.targets),
            _ => None,
        }
    }

    /// Whether what the magic takes is a cell again, magics and all.
    pub(crate) fn takes_cell(&self) -> bool {
        matches!(self, Command::Time(Time::Cell(_)) | Command::Capture(_))
    }
}
