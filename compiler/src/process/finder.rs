//! Finds the compiler's process that a kernel gets its own from, or starts one.
//!
//! There is one template for each toolchain, environment and version of Chorus, in a folder of its own below that of
//! all that kernels share. Its environment has what its key was made of and nothing else.

use crate::cell::cache::CacheConfig;
use crate::cell::reuse::add;
use crate::cell::types::Config;
use crate::process::BEGIN;
use crate::process::message::{Ask, Begin, Template, send};
use crate::process::template::SOCKET;
use chorus_system::locks::lock_within;
use chorus_system::{memory, process, user};
use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Where templates are, in the folder that kernels share.
const TEMPLATES: &str = "compilers";
/// For so many minutes a compiler stays that isn't used; 0 says that kernels share none.
const MINUTES_VARIABLE: &str = "CHORUS_COMPILER_MINUTES";
const MINUTES: f64 = 10.0;
/// Where a template builds, in its folder.
const BUILD: &str = "build";
/// Who looks for a template holds this, or who leaves. It is held for milliseconds.
const LOCK: &str = "lock";
const LOCKED_WITHIN: Duration = Duration::from_secs(5);

/// What says nothing about how cells are compiled: it differs from terminal to terminal, or from notebook to notebook. What ends
/// in `_` is the beginning of several.
const MOMENTARY: [&str; 19] = [
    "CHORUS_",
    "COLORTERM",
    "COLUMNS",
    "DBUS_",
    "DISPLAY",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "JPY_",
    "LINES",
    "OLDPWD",
    "PWD",
    "PYTEST_",
    "SHLVL",
    "SSH_",
    "STY",
    "TERM",
    "TMUX",
    "WINDOWID",
    "XDG_SESSION_",
];
/// Says how much dependencies may take, to those who build them.
const BUT: &str = "CHORUS_DEPENDENCIES_MB";

/// Whether kernels share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    IfPossible,
    Never,
}

/// Connects to a compiler's process that builds in the kernel's folder.
pub(crate) fn connect(
    config: &Config,
    px: &Path,
    dependencies: &Path,
    standard: &Path,
    sharing: Sharing,
) -> io::Result<UnixStream> {
    let begin = Begin {
        folder: config.folder.clone(),
        program: config.relay.clone(),
        relay_args: config.relay_args.clone(),
        px: px.to_owned(),
        dependencies: dependencies.to_owned(),
        template: None,
    };
    let current = std::env::current_dir()?;
    let idle = idle().filter(|_| !current.join("evcxr.toml").exists());
    let is_shared = |cache: &&CacheConfig| cache.dependencies().canonicalize().is_ok_and(|it| it == dependencies);
    let shared = config.cache.as_ref().filter(is_shared).filter(|_| sharing == Sharing::IfPossible);
    let mut connection = match (shared, idle) {
        (Some(cache), Some(idle)) => {
            let found = find(config, &begin, cache, idle, standard);
            found.or_else(|error| {
                tracing::warn!("no compiler is shared: {error}");
                start_alone(config, &begin)
            })?
        }
        _ => start_alone(config, &begin)?,
    };
    if !user::is_ours(&connection) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "a compiler's process is another user's"));
    }
    send(&mut connection, &Ask::Take { folder: config.folder.clone(), current })?;
    Ok(connection)
}

/// How long a template lives that nobody needs; `None` if there is to be none.
fn idle() -> Option<Duration> {
    let minutes = std::env::var(MINUTES_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(MINUTES);
    Duration::try_from_secs_f64(minutes * 60.0).ok().filter(|idle| !idle.is_zero())
}

/// For how long a kernel keeps a compiler that it doesn't use.
pub(crate) fn rests_after() -> Duration {
    idle().unwrap_or(Duration::from_secs_f64(MINUTES * 60.0))
}

/// The template for this kernel, which is started if there is none.
fn find(
    config: &Config,
    begin: &Begin,
    cache: &CacheConfig,
    idle: Duration,
    standard: &Path,
) -> io::Result<UnixStream> {
    let environment: Vec<_> = std::env::vars_os().filter(|(name, _)| !is_momentary(name)).collect();
    let folder = cache.compilers().join(key(begin, standard, &environment)?);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    if !user::owns_alone(&std::fs::metadata(&folder)?) {
        return Err(io::Error::other(format!("others can write to {}", folder.display())));
    }
    let _lock = lock(&folder)?;
    let place = File::open(&folder)?;
    let socket = socket_in(&place);
    match UnixStream::connect(&socket) {
        Err(error) if !is_gone(&error) => return Err(error),
        Err(_) => {}
        connected => return connected,
    }
    remove_left(&cache.compilers(), &folder);
    // Of one that was killed.
    clear(&folder)?;
    let build = folder.join(BUILD);
    std::fs::create_dir(&build)?;
    let listener = UnixListener::bind(&socket)?;
    let begin = Begin { folder: build, template: Some(Template { idle: idle.as_secs() }), ..begin.clone() };
    let log = File::create(folder.join("log"))?;
    let mut command = command(config, &folder, &begin)?;
    command.env_clear().envs(environment).stdin(OwnedFd::from(listener)).stdout(log.try_clone()?).stderr(log);
    start(command)?;
    UnixStream::connect(&socket)
}

/// Removes what a template has made that isn't there any more, but for its lock and its log.
pub(crate) fn clear(folder: &Path) -> io::Result<()> {
    for gone in [std::fs::remove_file(folder.join(SOCKET)), std::fs::remove_dir_all(folder.join(BUILD))] {
        gone.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
    }
    Ok(())
}

/// Removes the folders of other templates that aren't there any more: of older versions, of other environments.
fn remove_left(templates: &Path, but: &Path) {
    for entry in std::fs::read_dir(templates).into_iter().flatten().flatten() {
        let folder = entry.path();
        let is_left = || {
            let _lock =
                File::options().write(true).open(folder.join(LOCK)).ok().filter(|lock| lock.try_lock().is_ok())?;
            UnixStream::connect(socket_in(&File::open(&folder).ok()?)).is_err_and(|error| is_gone(&error)).then_some(())
        };
        if folder != but && is_left().is_some() {
            let _ = std::fs::remove_dir_all(&folder);
        }
    }
}

/// Whether nobody listens, and not only too many wait.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}

/// A template's socket, by a name that is short enough for one, wherever the folder is.
fn socket_in(folder: &File) -> PathBuf {
    format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()).into()
}

/// A process for this kernel alone.
fn start_alone(config: &Config, begin: &Begin) -> io::Result<UnixStream> {
    let (here, there) = UnixStream::pair()?;
    let mut command = command(config, &begin.folder, begin)?;
    command.stdin(OwnedFd::from(there)).stdout(Stdio::null());
    start(command)?;
    Ok(here)
}

/// It finds in this folder how it is to begin.
fn command(config: &Config, folder: &Path, begin: &Begin) -> io::Result<Command> {
    send(&mut File::create(folder.join(BEGIN))?, begin)?;
    let mut command = Command::new(&config.relay);
    command.args(&config.compiler_args).arg(folder);
    Ok(command)
}

/// Starts it. When it has ended, its number is given back.
fn start(mut command: Command) -> io::Result<()> {
    let mut child = command.spawn()?;
    std::thread::Builder::new().name("compiler-end".into()).spawn(move || child.wait())?;
    Ok(())
}

/// Held while templates are looked for.
pub(crate) fn lock(folder: &Path) -> io::Result<File> {
    let file = File::create(folder.join(LOCK))?;
    lock_within(&file, LOCKED_WITHIN)?;
    Ok(file)
}

fn is_momentary(name: &OsStr) -> bool {
    let is_it = |it: &&str| match it.ends_with('_') {
        true => name.as_bytes().starts_with(it.as_bytes()),
        false => name == *it,
    };
    name == "_" || name != BUT && MOMENTARY.iter().any(is_it)
}

/// The name of the template's folder. A toolchain has other files for another version, and so has Chorus.
fn key(begin: &Begin, standard: &Path, environment: &[(OsString, OsString)]) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut note = |part: &[u8]| add(&mut hasher, part);
    for path in [&begin.px, &begin.dependencies] {
        note(path.as_os_str().as_bytes());
    }
    for file in [begin.program.as_path(), standard] {
        let data = std::fs::metadata(file)?;
        note(file.as_os_str().as_bytes());
        for number in [data.ino(), data.len(), data.mtime().cast_unsigned(), data.mtime_nsec().cast_unsigned()] {
            note(&number.to_le_bytes());
        }
    }
    // Folders may be on a disk that hosts share, or containers, which know each other's processes and files by other names.
    note(user::host_name().as_bytes());
    for namespace in ["pid", "mnt"] {
        let namespace = std::fs::read_link(format!("/proc/self/ns/{namespace}")).unwrap_or_default();
        note(namespace.as_os_str().as_bytes());
    }
    let mut environment: Vec<_> = environment.iter().collect();
    environment.sort();
    for (name, value) in environment {
        note(name.as_bytes());
        note(value.as_bytes());
    }
    Ok(hasher.finalize().to_hex()[..16].to_owned())
}

/// Compilers' processes that kernels share, or have copies of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompilersInfo {
    /// Those that are copied.
    pub templates: usize,
    /// Those that kernels use.
    pub copies: usize,
    /// What they all hold in memory; what several share counts once.
    pub bytes: u64,
}

impl CacheConfig {
    /// Where templates of compilers' processes are.
    fn compilers(&self) -> PathBuf {
        self.folder.with_file_name(TEMPLATES)
    }

    /// How many templates there are, and how many copies of them kernels have; and what memory they all take, in bytes.
    pub fn compilers_info(&self) -> CompilersInfo {
        let folders = std::fs::read_dir(self.compilers()).into_iter().flatten().flatten();
        let found = folders.map(|entry| (entry.path().join(SOCKET).exists(), process::with_argument(&entry.path())));
        found.fold(CompilersInfo::default(), |info, (is_there, pids)| {
            let templates = usize::from(is_there && !pids.is_empty());
            CompilersInfo {
                templates: info.templates + templates,
                copies: info.copies + pids.len() - templates,
                bytes: info.bytes + pids.iter().filter_map(|pid| memory::part_of(*pid).ok()).sum::<u64>(),
            }
        })
    }

    /// Has them leave; kernels keep the compilers that they have.
    pub fn end_templates(&self) {
        for entry in std::fs::read_dir(self.compilers()).into_iter().flatten().flatten() {
            let _ = std::fs::remove_file(entry.path().join(SOCKET));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_or_a_notebook_makes_no_difference() {
        for name in ["PWD", "_", "JPY_PARENT_PID", "JPY_SESSION_NAME", "SSH_CONNECTION", "TERM", "CHORUS_LOG"] {
            assert!(is_momentary(name.as_ref()), "{name}");
        }
        for name in ["PATH", "RUSTFLAGS", "TERMINFO", "_X", "CARGO_HOME", "RUSTUP_TOOLCHAIN", BUT] {
            assert!(!is_momentary(name.as_ref()), "{name}");
        }
    }

    #[test]
    fn another_environment_or_program_is_another_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            std::fs::write(folder.path().join(name), name).unwrap();
            folder.path().join(name)
        };
        let begin = Begin {
            folder: "/f".into(),
            program: file("program"),
            relay_args: vec![],
            px: "/px".into(),
            dependencies: "/d".into(),
            template: None,
        };
        let standard = file("libstd.so");
        let environment = |value: &str| vec![("A".into(), value.into()), ("B".into(), "b".into())];
        let of = |begin: &Begin, value| key(begin, &standard, &environment(value)).unwrap();
        let first = of(&begin, "a");
        assert_eq!(first, of(&Begin { folder: "/g".into(), ..begin.clone() }, "a"), "whoever asks");
        assert_ne!(first, of(&begin, "b"));
        assert_ne!(first, of(&Begin { px: "/px2".into(), ..begin.clone() }, "a"));
        std::fs::write(&begin.program, "another program").unwrap();
        assert_ne!(first, of(&begin, "a"));
    }
}
