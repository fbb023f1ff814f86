//! Runs the end-to-end tests in `tests/python` against the programs that cargo has just built.
//!
//! They are written in Python because the clients that a Jupyter kernel has to be right with are. This file makes
//! the Python environment, once for each content of `tests/requirements.txt`, so that `cargo test` needs nothing
//! but a `python3` that has `venv`. It never changes anything outside the target folder.
//!
//! `CHORUS_PYTEST="-k flood -x"` passes options to pytest.

use std::ffi::OsStr;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tools::{locked, output};

mod tools;

#[test]
fn python() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests");
    let python = environment(&tests.join("requirements.txt")).unwrap_or_else(|reason| panic!("{reason}"));
    let options = std::env::var("CHORUS_PYTEST").unwrap_or_default();
    let programs = Programs::new().unwrap_or_else(|reason| panic!("{reason}"));
    let status = Command::new(python)
        // Two files at a time: tests wait for rustc and for processes half of the time.
        .args(["-m", "pytest", "-n", "3", "--dist", "loadfile"])
        .args(options.split_whitespace())
        .arg(tests.join("python"))
        .env("CHORUS", programs.0.path().join("chorus"))
        .env("CHORUS_ENGINE", programs.0.path().join("chorus-engine"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .status()
        .unwrap_or_else(|error| panic!("pytest can't be started: {error}"));
    assert!(status.success(), "the end-to-end tests failed, see above ({status})");
}

/// The programs under names of their own. Cargo's names lead nowhere while it links them anew, as for the wheel.
struct Programs(tempfile::TempDir);

impl Programs {
    fn new() -> Result<Self, String> {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let folder = tempfile::tempdir_in(place).map_err(|error| format!("{}: {error}", place.display()))?;
        for program in [env!("CARGO_BIN_EXE_chorus"), env!("CARGO_BIN_EXE_chorus-engine")].map(Path::new) {
            let name = program.file_name().ok_or("a program has no name")?;
            let own = folder.path().join(name);
            fs::hard_link(program, &own)
                .or_else(|_| fs::copy(program, &own).map(drop))
                .map_err(|error| format!("{}: {error}", program.display()))?;
        }
        Ok(Self(folder))
    }
}

/// The interpreter of a virtual environment that has the packages of `requirements`, made if there is none yet.
fn environment(requirements: &Path) -> Result<PathBuf, String> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let version = output(Command::new(&python).arg("--version"))
        .map_err(|reason| format!("the end-to-end tests need Python 3.10 or newer, with venv. {reason}"))?;
    let packages = fs::read(requirements).map_err(|error| format!("{}: {error}", requirements.display()))?;
    let mut hasher = DefaultHasher::new();
    (&version, &packages).hash(&mut hasher);

    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().ok_or("the target folder has no parent")?;
    let environments = target.join("chorus-venv");
    let folder = environments.join(format!("{:016x}", hasher.finish()));
    let interpreter = folder.join("bin/python");
    let ready = folder.join("ready");

    // Two `cargo test` at once: the second waits here until the first has made the environment.
    let _lock = locked(&environments)?;
    if ready.exists() {
        return Ok(interpreter);
    }
    // Past the test harness, which would keep it back: pip takes a while.
    let _ = writeln!(std::io::stderr(), "making the Python environment of the tests in {}", folder.display());
    output(Command::new(&python).args(["-m", "venv", "--clear"]).arg(&folder)).map_err(|reason| {
        format!("`{python} -m venv` failed (on Debian and Ubuntu it needs the package python3-venv). {reason}")
    })?;
    let pip = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--quiet", "-r"].map(OsStr::new);
    output(Command::new(&interpreter).args(pip).arg(requirements))
        .map_err(|reason| format!("the Python packages of the tests can't be installed. {reason}"))?;
    fs::write(&ready, "").map_err(|error| format!("{}: {error}", ready.display()))?;
    Ok(interpreter)
}
