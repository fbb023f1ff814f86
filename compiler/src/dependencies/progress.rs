//! How far cargo is with a set: read from what it prints, and told to the kernel, which waits in another process.

use serde::{Deserialize, Serialize};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a kernel listens, in its folder.
const SOCKET: &str = "building";
/// Names of crates that are told at once.
const NAMES: usize = 8;
/// Bytes of a message; a longer one is dropped.
const LONGEST: usize = 4096;

/// How far a build of dependencies is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Building {
    /// cargo compiles.
    Crates {
        /// How many parts it has compiled: crates, and their build scripts.
        done: u32,
        /// How many there are.
        of: u32,
        /// The crates that it compiles now, some of them.
        now: Vec<String>,
    },
    /// cargo does something else: it reads the index, fetches a crate, waits for the build of another notebook.
    Says(String),
    /// A cell waits for the compiler's process to start, which isn't a build.
    Starts,
    /// It has started, or can't.
    Started,
    /// Something that the user is to know when all is built.
    Warns(String),
    /// All is built. A build that fails or is killed says nothing more; its cell does.
    Over,
}

/// Is told how far a build is, on a thread that is there for this.
#[derive(Clone)]
pub struct Told(pub Arc<dyn Fn(Building) + Send + Sync>);

impl Default for Told {
    /// Nobody listens.
    fn default() -> Told {
        Told(Arc::new(|_| ()))
    }
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Told")
    }
}

/// Tells of all builds for the kernel of this folder, from a thread of its own.
pub(crate) fn listen(kernel: &Path, told: Told) -> io::Result<()> {
    let socket = UnixDatagram::bind(kernel.join(SOCKET))?;
    std::thread::Builder::new().name("building".into()).spawn(move || {
        let mut buffer = [0; LONGEST];
        // The socket lives as long as this thread, so only a lack of memory ends it.
        while let Ok(length) = socket.recv(&mut buffer) {
            if let Ok(building) = postcard::from_bytes(&buffer[..length]) {
                (told.0)(building);
            }
        }
    })?;
    Ok(())
}

/// Tells the kernel. What it can't hear at once is lost, since nothing waits for it.
pub(super) struct Teller {
    socket: Option<UnixDatagram>,
    kernel: PathBuf,
}

impl Teller {
    /// One that tells nothing unless `is_heard`.
    pub fn new(kernel: &Path, is_heard: bool) -> Teller {
        let socket = is_heard.then(UnixDatagram::unbound).and_then(Result::ok);
        let socket = socket.filter(|socket| socket.set_nonblocking(true).is_ok());
        Teller { socket, kernel: kernel.join(SOCKET) }
    }

    pub fn tell(&self, building: &Building) {
        if let (Some(socket), Ok(bytes)) = (&self.socket, postcard::to_allocvec(building)) {
            let _ = socket.send_to(&bytes, &self.kernel);
        }
    }
}

/// What a line says that cargo prints while it works; `None` if that is nothing to show. Before it counts, it only names
/// crates.
pub(super) fn read(line: &str, counts: bool) -> Option<Building> {
    let line = line.trim();
    if let Some(rest) = line.strip_prefix("Building [") {
        let (_, rest) = rest.split_once("] ")?;
        let (numbers, names) = rest.split_once(':').unwrap_or((rest, ""));
        let (done, of) = numbers.trim().split_once('/')?;
        let names = names.split(',').map(|name| name.trim().trim_end_matches("...").to_owned());
        let now = names.filter(|name| !name.is_empty()).take(NAMES).collect();
        return Some(Building::Crates { done: done.parse().ok()?, of: of.parse().ok()?, now });
    }
    let (verb, what) = line.split_once(' ')?;
    let what: String = what.chars().take(100).collect();
    match verb {
        "Blocking" => Some(Building::Says("waiting for another cargo".into())),
        "Updating" | "Downloading" | "Downloaded" => Some(Building::Says(format!("{} {what}", verb.to_lowercase()))),
        "Compiling" if !counts => Some(Building::Says(what.split(' ').next().unwrap_or_default().to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn cargos_bar_is_read() {
        let line = "    Building [==>      ] 12/34: polars-core, polars-io(build), ...   ";
        let now = vec!["polars-core".to_owned(), "polars-io(build)".to_owned()];
        assert_eq!(read(line, true), Some(Building::Crates { done: 12, of: 34, now }));
        assert_eq!(read("Building [ ] 0/2", true), Some(Building::Crates { done: 0, of: 2, now: vec![] }));
        assert!(matches!(
            read("    Blocking waiting for file lock on build directory", false),
            Some(Building::Says(_))
        ));
        assert_eq!(read("    Updating crates.io index", true), Some(Building::Says("updating crates.io index".into())));
        assert_eq!(read("   Compiling px v0.1 (/p)", false), Some(Building::Says("px".into())));
        for other in ["", "Building [", "Building [] a/b", "Building [] 1", "   Compiling log v0.4", "{\"reason\":1}"] {
            assert_eq!(read(other, true), None, "{other}");
        }
    }

    #[test]
    fn what_is_told_arrives_and_garbage_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, receiver) = channel();
        Teller::new(folder.path(), true).tell(&Building::Says("nobody listens".into()));
        listen(folder.path(), Told(Arc::new(move |building| sender.send(building).unwrap()))).unwrap();
        let garbage = UnixDatagram::unbound().unwrap();
        garbage.send_to(&[255; 3], folder.path().join(SOCKET)).unwrap();
        Teller::new(folder.path(), false).tell(&Building::Says("not to be heard".into()));
        let teller = Teller::new(folder.path(), true);
        teller.tell(&Building::Says("x".into()));
        teller.tell(&Building::Over);
        let wait = Duration::from_secs(20);
        assert_eq!(receiver.recv_timeout(wait), Ok(Building::Says("x".into())));
        assert_eq!(receiver.recv_timeout(wait), Ok(Building::Over));
    }
}
