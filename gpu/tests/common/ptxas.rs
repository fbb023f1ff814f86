//! NVIDIA's assembler, which needs no GPU. It comes with the package nvidia-cuda-nvcc, of which nothing else is taken.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const VERSION: &str = "13.5.37";
const WITHIN: &str = "nvidia/cu13/bin/ptxas";
/// What it assembles for: A100, H100 and H200, B200.
const ARCHITECTURES: [&str; 3] = ["sm_80", "sm_90", "sm_100"];
/// So many seconds the package may take to arrive.
const PATIENCE: &str = "120";

/// Where it is: at `CHORUS_TEST_PTXAS`, or where this test has put it. If it can't be had, why.
pub fn ptxas() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("CHORUS_TEST_PTXAS") {
        return Ok(path.into());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let ptxas = folder.join(format!("ptxas-{VERSION}"));
    if ptxas.exists() {
        return Ok(ptxas);
    }
    let new = tempfile::tempdir_in(folder).map_err(|error| error.to_string())?;
    let wanted = format!("nvidia-cuda-nvcc=={VERSION}");
    let pip = ["python3", "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"];
    run(Command::new("timeout").arg(PATIENCE).args(pip).arg(new.path()).arg(wanted))?;
    let unpack =
        "import glob, sys, zipfile; zipfile.ZipFile(glob.glob(sys.argv[1] + '/*.whl')[0]).extract(*sys.argv[2:])";
    run(Command::new("python3").args(["-c", unpack]).arg(new.path()).arg(WITHIN).arg(new.path()))?;
    let unpacked = new.path().join(WITHIN);
    let put = fs::set_permissions(&unpacked, fs::Permissions::from_mode(0o755));
    // Another process may do the same: whoever is last has the same file.
    put.and_then(|()| fs::rename(&unpacked, &ptxas)).map_err(|error| error.to_string())?;
    Ok(ptxas)
}

/// What it says of a module for each architecture, if it refuses it for one.
pub fn assemble(ptxas: &Path, ptx: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (text, cubin) = (folder.path().join("it.ptx"), folder.path().join("it.cubin"));
    fs::write(&text, ptx).map_err(|error| error.to_string())?;
    ARCHITECTURES.iter().try_for_each(|architecture| {
        let arch = format!("-arch={architecture}");
        let said = run(Command::new(ptxas).arg(arch).arg("-o").arg(&cubin).arg(&text));
        said.map_err(|said| format!("{architecture}: {said}"))
    })
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{command:?} ends with {}: {said}", output.status)) }
}
