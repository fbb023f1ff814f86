//! Builds a set, in the process that evcxr takes for cargo.

use super::progress::{Building, Teller, read};
use super::set::{Set, made_for, used};
use super::{SETS, TARGET, VERSIONS, link, room};
use crate::cell::reuse::add;
use crate::tools::{self, command};
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// cargo failed, and this is what it said.
pub(crate) struct Failed {
    pub status: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// The set for the manifest in `kernel`, a kernel's folder, built below `root` if it isn't there. `call` is cargo's path
/// and arguments. The kernel finds it as its current one. Returns the set's folder, too.
pub(crate) fn ready(root: &Path, kernel: &Path, call: &[OsString]) -> io::Result<Result<(PathBuf, Set), Failed>> {
    let manifest = fs::read_to_string(kernel.join("Cargo.toml")).map_err(of("Cargo.toml"))?;
    let counts = |arg: &&OsString| !["build", "check", "--offline"].iter().any(|other| *arg == other);
    let args: Vec<OsString> = call.iter().skip(1).filter(counts).cloned().collect();
    let made_for = made_for(&manifest, &compiler()?, &args);
    let fits = |folder: &PathBuf| Set::read(folder).filter(|set| set.made_for == made_for);
    let used = used(kernel);
    // The versions are those of the set before, if there is one. px alone has none.
    let lock = match used.last() {
        _ if !super::has_any(&manifest) => None,
        Some(folder) => fs::read(folder.join("Cargo.lock")).ok(),
        None => fs::read(kernel.join(VERSIONS)).ok(),
    };
    let lock = lock.unwrap_or_default();
    let own = root.join(SETS).join(id(&made_for, &lock));
    let known = used.iter().rev().chain([&own]).find_map(|folder| Some((folder.clone(), fits(folder)?)));
    let (folder, set) = match known {
        Some(known) => known,
        None => {
            let build = Build { root, kernel, folder: &own, call };
            match build.run(&manifest, &lock, made_for)? {
                Ok(set) => (own, set),
                Err(failed) => return Ok(Err(failed)),
            }
        }
    };
    let current = set.in_folder(&folder);
    current.note(kernel)?;
    current.write(kernel)?;
    // rust-analyzer is to read the same versions.
    fs::copy(folder.join("Cargo.lock"), kernel.join("Cargo.lock")).map_err(of("the versions"))?;
    Ok(Ok((folder, set)))
}

/// What the compiler says of itself.
fn compiler() -> io::Result<Vec<u8>> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = command([rustc, "-vV".into()].into_iter()).output().map_err(of("rustc"))?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(io::Error::other(format!("rustc -vV: {}", String::from_utf8_lossy(&output.stderr)))),
    }
}

/// Says what an error is about.
fn of(what: &str) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}

fn id(made_for: &[u8], lock: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    add(&mut hasher, made_for);
    add(&mut hasher, lock);
    hasher.finalize().to_hex()[..24].to_owned()
}

struct Build<'a> {
    root: &'a Path,
    kernel: &'a Path,
    folder: &'a Path,
    call: &'a [OsString],
}

impl Build<'_> {
    fn run(&self, manifest: &str, lock: &[u8], made_for: [u8; 32]) -> io::Result<Result<Set, Failed>> {
        let Build { root, folder, .. } = *self;
        fs::create_dir_all(folder.join("src"))?;
        let teller = Teller::new(self.kernel, super::has_any(manifest));
        let lock_file = fs::File::create(folder.join("lock")).map_err(of("its lock"))?;
        if lock_file.try_lock().is_err() {
            teller.tell(&Building::Says("waiting for another notebook, which builds them".into()));
            lock_file.lock()?;
        }
        if let Some(set) = Set::read(folder).filter(|set| set.made_for == made_for) {
            teller.tell(&Building::Over);
            return Ok(Ok(set));
        }
        let id = folder.file_name().unwrap_or_default().to_string_lossy();
        // cargo tells packages by their versions and not by their places.
        let manifest = manifest.replacen("version = \"1.0.0\"", &format!("version = \"1.0.0-x{id}\""), 1);
        fs::write(folder.join("Cargo.toml"), manifest)?;
        if !lock.is_empty() && !folder.join("Cargo.lock").exists() {
            fs::write(folder.join("Cargo.lock"), lock)?;
        }
        // Written anew, it is compiled anew, and so rustc is called, which is noted.
        fs::write(folder.join("src/lib.rs"), "")?;
        // Nobody waits for the long build of another set: crates are the same wherever they are built.
        let shared = fs::File::create(root.join("target.lock")).map_err(of("the lock of all sets"))?;
        let place = if shared.try_lock().is_ok() { root } else { folder };
        let mut child = self.cargo(&place.join(TARGET)).spawn().map_err(of("cargo"))?;
        let (stdout, stderr) = listen(&mut child, &teller)?;
        let status = child.wait()?;
        if !status.success() {
            return Ok(Err(Failed { status: status.code().unwrap_or(1), stdout, stderr }));
        }
        let note = tools::Note::take(folder).map_err(of("cargo didn't call rustc for a cell"))?;
        teller.tell(&Building::Says("linking them".into()));
        let library = link(&note.arguments(), folder, &id, &[]).unwrap_or_else(|error| {
            teller.tell(&Building::Warns(not_shared(&error)));
            None
        });
        let set =
            Set { made_for, environment: note.environment, command: note.command, library, files: files(&stdout) };
        set.write(folder).map_err(of("the set of dependencies"))?;
        teller.tell(&Building::Over);
        room::make(root, folder);
        Ok(Ok(set))
    }

    fn cargo(&self, target: &Path) -> std::process::Command {
        let verb = |arg: &OsString| if arg == "check" { "build".into() } else { arg.clone() };
        let mut cargo = command(self.call.iter().map(verb));
        cargo.current_dir(self.folder).env(tools::NOTING, "1");
        cargo.env("CARGO_TARGET_DIR", target).env("CARGO_BUILD_BUILD_DIR", target);
        // As wide as the names may be, and without escapes.
        cargo.env("CARGO_TERM_QUIET", "false").env("CARGO_TERM_COLOR", "never");
        cargo.env("CARGO_TERM_PROGRESS_WHEN", "always").env("CARGO_TERM_PROGRESS_WIDTH", "400");
        cargo.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        cargo
    }
}

/// Says that cells don't share their dependencies.
pub(super) fn not_shared(error: &io::Error) -> String {
    let lines = error.to_string();
    let why = lines.lines().find(|line| line.starts_with("error")).unwrap_or(&lines);
    let why: String = why.chars().take(300).collect();
    format!("Each cell has a copy of its dependencies of its own, because they can't be linked into one library: {why}")
}

/// What cargo prints, without the bars, which are told.
fn listen(child: &mut Child, teller: &Teller) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.map_or(Ok(0), |mut stdout| stdout.read_to_end(&mut bytes)).map(|_| bytes)
    });
    let (mut said, mut last) = (Vec::new(), None);
    for line in stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).split(b'\n')) {
        let line = line?;
        for part in line.split(|byte| *byte == b'\r') {
            let text = String::from_utf8_lossy(part);
            let told = read(&text, matches!(last, Some(Building::Crates { .. })));
            if told.is_some() && told != last {
                last = told;
                last.iter().for_each(|told| teller.tell(told));
            }
            if !text.trim_start().starts_with("Building [") {
                said.extend(part.iter().chain(b"\n"));
            }
        }
    }
    let stdout = reader.join().map_err(|_| io::Error::other("cargo's output can't be read"))??;
    Ok((stdout, said))
}

/// The files of libraries that cargo's messages name, but for cells' own, and the folders of build scripts.
fn files(messages: &[u8]) -> Vec<PathBuf> {
    let messages = messages.split(|byte| *byte == b'\n');
    let messages = messages.filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
    let named = messages.flat_map(|message| match message["reason"].as_str() {
        Some("compiler-artifact") if message["target"]["name"] != "ctx" => {
            message["filenames"].as_array().cloned().unwrap_or_default()
        }
        Some("build-script-executed") => vec![message["out_dir"].clone()],
        _ => Vec::new(),
    });
    named.filter_map(|file| Some(PathBuf::from(file.as_str()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_those_of_dependencies() {
        let messages = b"{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"log\"},\"filenames\":[\"/t/liblog.rlib\",\"/t/liblog.rmeta\"]}\n\
                         {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"ctx\"},\"filenames\":[\"/t/libctx.so\"]}\n\
                         {\"reason\":\"build-script-executed\",\"out_dir\":\"/t/build/a-1/out\"}\ngarbage\n";
        assert_eq!(files(messages), ["/t/liblog.rlib", "/t/liblog.rmeta", "/t/build/a-1/out"].map(Path::new));
    }

    #[test]
    fn bars_are_told_and_the_rest_is_kept() {
        let mut child = std::process::Command::new("sh")
            .args([
                "-c",
                "printf 'a\\r    Building [> ] 1/2: x\\r    Building [> ] 1/2: x\\nerror: b\\n' >&2; printf out",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (stdout, stderr) = listen(&mut child, &Teller::new(folder.path(), true)).unwrap();
        child.wait().unwrap();
        assert_eq!((stdout.as_slice(), stderr.as_slice()), (&b"out"[..], &b"a\nerror: b\n"[..]));
    }
}
