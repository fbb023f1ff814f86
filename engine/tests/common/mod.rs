//! What the tests of workers and of engines share: the objects, the program, and looking at processes.
#![allow(dead_code)]

pub mod bench;

use chorus_protocol::{Outcome, RunEvent, Stream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long anything in these tests may take.
pub const LIMIT: Duration = Duration::from_secs(30);

/// The program under test, which cargo builds with the tests.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("examples/engine");
    assert!(program.exists(), "{} isn't there: run all tests of the package, or build its examples", program.display());
    program
}

/// The environment of the program under test: no Rust toolchain, and no help in finding the standard library.
pub fn bare_environment() -> Vec<(&'static str, &'static str)> {
    vec![("PATH", ""), ("LD_LIBRARY_PATH", "")]
}

/// The files that runs need.
pub struct Objects {
    /// The standard library.
    pub std: PathBuf,
    /// `cells/cells.rs`.
    pub cells: PathBuf,
}

/// Compiles the cells, once for each test program.
pub fn objects() -> &'static Objects {
    static OBJECTS: OnceLock<Objects> = OnceLock::new();
    OBJECTS.get_or_init(|| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("cells-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        rustc(&folder, &["--crate-type", "rlib", "--crate-name", "px"], &package.join("../px/src/lib.rs"));
        let cells = package.join("tests/cells/cells.rs");
        rustc(&folder, &["--crate-type", "cdylib", "-L", ".", "--extern", "px", "-C", "prefer-dynamic"], &cells);
        Objects { std: standard_library(), cells: folder.join("libcells.so") }
    })
}

fn rustc(folder: &Path, args: &[&str], source: &Path) {
    let mut command = Command::new("rustc");
    command.current_dir(folder).args(["--edition", "2024", "-O"]).args(args).arg(source);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn standard_library() -> PathBuf {
    let output = Command::new("rustc").args(["--print", "target-libdir"]).output().unwrap();
    let folder = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
    let is_std = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libstd-") && name.ends_with(".so")
    };
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).find(is_std).unwrap()
}

/// Waits until `check` gives something.
pub fn wait_for<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(begin.elapsed() < LIMIT, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The state of a process as /proc says it (`S`, `R`, ...), or `None` when it has ended.
pub fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let state = stat.rsplit(") ").next()?.chars().next()?;
    (state != 'Z' && state != 'X').then_some(state)
}

/// Waits until a process has ended.
pub fn wait_for_end(pid: u32) {
    wait_for(&format!("the end of process {pid}"), || state(pid).is_none().then_some(()));
}

/// The events of one run.
#[derive(Debug, Default)]
pub struct Seen {
    pub events: Vec<RunEvent>,
}

impl Seen {
    /// What was printed to a stream.
    pub fn text(&self, wanted: Stream) -> String {
        let bytes = self.events.iter().filter_map(|event| match event {
            RunEvent::Output { stream, bytes } if *stream == wanted => Some(&bytes[..]),
            _ => None,
        });
        String::from_utf8(bytes.collect::<Vec<_>>().concat()).unwrap()
    }

    /// What was printed to stdout.
    pub fn out(&self) -> String {
        self.text(Stream::Stdout)
    }

    /// The number that was printed.
    pub fn number(&self) -> u32 {
        self.out().trim().parse().unwrap()
    }

    /// Whether there are as many `Started` and `Done` as there must be, in their places.
    pub fn check(&self, starts: bool) {
        let first = self.events.iter().position(|event| matches!(event, RunEvent::Started(_)));
        assert_eq!(first, starts.then_some(0), "{:?}", self.events);
        let dones = self.events.iter().filter(|event| matches!(event, RunEvent::Done { .. })).count();
        assert_eq!(dones, 1, "{:?}", self.events);
        assert!(matches!(self.events.last(), Some(RunEvent::Done { .. })), "{:?}", self.events);
    }

    /// How the run ended, and the generation after it.
    pub fn end(&self) -> (Outcome, u32) {
        match self.events.last() {
            Some(RunEvent::Done { outcome, generation, .. }) => (outcome.clone(), *generation),
            other => panic!("a run's last event is {other:?}"),
        }
    }
}
