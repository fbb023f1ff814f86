//! `chorus install` and `chorus uninstall`: tells Jupyter about the kernel by a folder `kernels/chorus` among its data, and
//! JupyterLab about magics by a folder `labextensions/chorus-rust`.
//!
//! Never replaces or removes a folder of these names that isn't ours, and never leaves half a folder behind.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder's name, which is the kernel's name for `jupyter console --kernel` and in notebooks.
const NAME: &str = "chorus";

/// `argv[0]` is filled in when it is installed.
const KERNEL_JSON: &str = include_str!("../../kernelspec/data/share/jupyter/kernels/chorus/kernel.json");

const LOGOS: [(&str, &[u8]); 3] = [
    ("logo-32x32.png", include_bytes!("../../kernelspec/data/share/jupyter/kernels/chorus/logo-32x32.png")),
    ("logo-64x64.png", include_bytes!("../../kernelspec/data/share/jupyter/kernels/chorus/logo-64x64.png")),
    ("logo-svg.svg", include_bytes!("../../kernelspec/data/share/jupyter/kernels/chorus/logo-svg.svg")),
];

/// The folder of what colours magics in JupyterLab and Notebook.
const EXTENSION: &str = "chorus-rust";

const EXTENSION_JSON: &str = include_str!("../../kernelspec/data/share/jupyter/labextensions/chorus-rust/package.json");

const EXTENSION_ENTRY: &str =
    include_str!("../../kernelspec/data/share/jupyter/labextensions/chorus-rust/static/remoteEntry.js");

/// For whom the kernel is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Where {
    /// For this user, in all of the user's Jupyters.
    User,
    /// For the Jupyter that is installed under this prefix.
    Prefix(PathBuf),
    /// For the Jupyter of the active virtual environment, or of the `python3` on the path.
    SysPrefix,
    /// For all users.
    System,
}

/// Why the kernel isn't installed or uninstalled.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A file or folder can't be written or removed.
    #[error("{path} can't be {action}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// "written" or "removed".
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder is somebody else's.
    #[error(
        "{0} is there already and isn't ours: it holds no kernel.json or package.json of Chorus. Remove it by hand to go on"
    )]
    Foreign(PathBuf),
    /// There is nothing to remove.
    #[error("the kernel isn't installed there: there is no {0}")]
    NotInstalled(PathBuf),
    /// There is no home folder to install to.
    #[error("there is no home folder: set JUPYTER_DATA_DIR, or use --prefix")]
    NoHome,
    /// There is no Python whose prefix could be asked for.
    #[error("there is no active virtual environment and no python3 on the path ({0}): use --prefix or --user")]
    NoPython(String),
    /// A path that JSON can't hold.
    #[error("{0} isn't UTF-8, so kernel.json can't name it: move the program")]
    NotUtf8(PathBuf),
    /// The template isn't what the code expects.
    #[error("the built-in kernel.json is broken: {0}")]
    Template(#[from] serde_json::Error),
}

/// Installs the kernel as the program `exe`, in place of an older installation; says where.
pub fn install(place: &Where, exe: &Path) -> Result<PathBuf, InstallError> {
    install_in(&data_folder(place, &|name| std::env::var_os(name))?, exe)
}

/// Removes the kernel; says from where.
pub fn uninstall(place: &Where) -> Result<PathBuf, InstallError> {
    let data = data_folder(place, &|name| std::env::var_os(name))?;
    uninstall_in(&data)?.ok_or_else(|| InstallError::NotInstalled(data.join("kernels").join(NAME)))
}

fn install_in(data: &Path, exe: &Path) -> Result<PathBuf, InstallError> {
    let (kernel, extension) = folders(data);
    let exist = (is_ours(&kernel)?, is_ours(&extension)?);
    let kernel_json = kernel_json(exe)?;
    let files: Vec<_> = LOGOS.into_iter().chain([("kernel.json", kernel_json.as_bytes())]).collect();
    let entry = [("package.json", EXTENSION_JSON.as_bytes()), ("static/remoteEntry.js", EXTENSION_ENTRY.as_bytes())];
    put(&extension, exist.1, &entry)?;
    put(&kernel, exist.0, &files)?;
    Ok(kernel)
}

/// Of the kernel, and of the extension.
fn folders(data: &Path) -> (PathBuf, PathBuf) {
    (data.join("kernels").join(NAME), data.join("labextensions").join(EXTENSION))
}

/// Puts a folder with these files into its place, where it may exist.
fn put(target: &Path, exists: bool, files: &[(&str, &[u8])]) -> Result<(), InstallError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| InstallError::Io { path, action: "written", source }
    };
    let parent = target.parent().unwrap_or(target);
    std::fs::create_dir_all(parent).map_err(failed(parent))?;

    let draft = tempfile::Builder::new().prefix(".chorus-").tempdir_in(parent).map_err(failed(parent))?;
    // Other users may read it; a temporary folder is made private.
    let everyone = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(draft.path(), everyone).map_err(failed(draft.path()))?;
    for (name, bytes) in files {
        let file = draft.path().join(name);
        let folder = file.parent().unwrap_or(draft.path());
        std::fs::create_dir_all(folder).map_err(failed(folder))?;
        std::fs::write(&file, bytes).map_err(failed(&file))?;
    }

    // A folder can't be renamed over another one: the old one goes aside first, and ends with `aside`.
    let aside = tempfile::Builder::new().prefix(".chorus-old-").tempdir_in(parent).map_err(failed(parent))?;
    let old = aside.path().join(NAME);
    if exists {
        std::fs::rename(target, &old).map_err(failed(target))?;
    }
    if let Err(source) = std::fs::rename(draft.path(), target) {
        if exists {
            // The old installation is better than none; the error that matters is the first one.
            let _ = std::fs::rename(&old, target);
        }
        return Err(InstallError::Io { path: target.to_owned(), action: "written", source });
    }
    // It has its final name, so there is nothing left to clean up.
    let _ = draft.keep();
    Ok(())
}

fn uninstall_in(data: &Path) -> Result<Option<PathBuf>, InstallError> {
    let (kernel, extension) = folders(data);
    let mut removed = None;
    for target in [extension, kernel] {
        if is_ours(&target)? {
            std::fs::remove_dir_all(&target).map_err(|source| InstallError::Io {
                path: target.clone(),
                action: "removed",
                source,
            })?;
            removed = Some(target);
        }
    }
    Ok(removed)
}

/// How a notebook's metadata names the kernel.
pub fn kernelspec() -> serde_json::Value {
    let spec: serde_json::Value = serde_json::from_str(KERNEL_JSON).unwrap_or_default();
    serde_json::json!({"name": NAME, "display_name": spec["display_name"], "language": spec["language"]})
}

/// Whether this folder of ours is there; an error when something else has its place.
fn is_ours(target: &Path) -> Result<bool, InstallError> {
    if std::fs::symlink_metadata(target).is_err() {
        return Ok(false);
    }
    let says = |ours: &str, file: &str, field: &str| {
        let field = |text: &[u8]| Some(serde_json::from_slice::<serde_json::Value>(text).ok()?.get(field)?.clone());
        let theirs = std::fs::read(target.join(file)).ok().and_then(|text| field(&text));
        theirs.is_some() && theirs == field(ours.as_bytes())
    };
    if says(KERNEL_JSON, "kernel.json", "display_name") || says(EXTENSION_JSON, "package.json", "name") {
        Ok(true)
    } else {
        Err(InstallError::Foreign(target.to_owned()))
    }
}

fn kernel_json(exe: &Path) -> Result<String, InstallError> {
    let exe = std::path::absolute(exe).map_err(|source| InstallError::Io {
        path: exe.to_owned(),
        action: "made absolute",
        source,
    })?;
    let name = exe.to_str().ok_or_else(|| InstallError::NotUtf8(exe.clone()))?;
    let mut spec: serde_json::Value = serde_json::from_str(KERNEL_JSON)?;
    if let Some(program) = spec.pointer_mut("/argv/0") {
        *program = name.into();
    }
    Ok(serde_json::to_string_pretty(&spec)? + "\n")
}

/// Where Jupyter looks for data, by the rules of `jupyter_core.paths`.
fn data_folder(place: &Where, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<PathBuf, InstallError> {
    let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let prefix = match place {
        Where::User => return user_folder(&path).ok_or(InstallError::NoHome),
        Where::System => PathBuf::from("/usr/local"),
        Where::Prefix(prefix) => prefix.clone(),
        Where::SysPrefix => match path("VIRTUAL_ENV").or_else(|| path("CONDA_PREFIX")) {
            Some(prefix) => prefix,
            None => python_prefix().map_err(InstallError::NoPython)?,
        },
    };
    Ok(prefix.join("share/jupyter"))
}

fn user_folder(path: &dyn Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    if let Some(folder) = path("JUPYTER_DATA_DIR") {
        return Some(folder);
    }
    let home = path("HOME").or_else(dirs::home_dir);
    if cfg!(target_os = "macos") {
        return Some(home?.join("Library/Jupyter"));
    }
    match path("XDG_DATA_HOME") {
        Some(data) => Some(data.join("jupyter")),
        None => Some(home?.join(".local/share/jupyter")),
    }
}

fn python_prefix() -> Result<PathBuf, String> {
    let output = Command::new("python3")
        .args(["-c", "import sys; print(sys.prefix)"])
        .output()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.trim() {
        prefix if output.status.success() && !prefix.is_empty() => Ok(PathBuf::from(prefix)),
        _ => Err(format!("it ended with {}", output.status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_for(place: Where, variables: &[(&str, &str)]) -> PathBuf {
        let variable = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value));
        data_folder(&place, &variable).unwrap()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_users_folder_is_where_jupyter_looks() {
        let home = ("HOME", "/home/me");
        assert_eq!(folder_for(Where::User, &[home]), Path::new("/home/me/.local/share/jupyter"));
        assert_eq!(folder_for(Where::User, &[home, ("XDG_DATA_HOME", "/x")]), Path::new("/x/jupyter"));
        assert_eq!(
            folder_for(Where::User, &[home, ("XDG_DATA_HOME", "/x"), ("JUPYTER_DATA_DIR", "/j")]),
            Path::new("/j")
        );
        assert_eq!(
            folder_for(Where::User, &[home, ("JUPYTER_DATA_DIR", "")]),
            Path::new("/home/me/.local/share/jupyter")
        );
    }

    #[test]
    fn prefixes() {
        assert_eq!(folder_for(Where::System, &[]), Path::new("/usr/local/share/jupyter"));
        assert_eq!(folder_for(Where::Prefix("/opt/j".into()), &[]), Path::new("/opt/j/share/jupyter"));
        let both = [("VIRTUAL_ENV", "/v"), ("CONDA_PREFIX", "/c")];
        assert_eq!(folder_for(Where::SysPrefix, &both), Path::new("/v/share/jupyter"));
        assert_eq!(folder_for(Where::SysPrefix, &both[1..]), Path::new("/c/share/jupyter"));
    }

    #[test]
    fn installs_again_over_itself_and_uninstalls_once() {
        let data = tempfile::tempdir().unwrap();
        let other = data.path().join("kernels/python3");
        std::fs::create_dir_all(&other).unwrap();
        for exe in ["/old/chorus", "/new/chorus"] {
            let folder = install_in(data.path(), Path::new(exe)).unwrap();
            assert_eq!(folder, data.path().join("kernels/chorus"));
            let text = std::fs::read_to_string(folder.join("kernel.json")).unwrap();
            let spec: serde_json::Value = serde_json::from_str(&text).unwrap();
            let argv = serde_json::json!([exe, "kernel", "--connection-file", "{connection_file}"]);
            assert_eq!((&spec["argv"], &spec["interrupt_mode"]), (&argv, &"message".into()));
            assert!(LOGOS.iter().all(|(name, bytes)| std::fs::read(folder.join(name)).unwrap() == *bytes));
            assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o755);
        }
        let mut names: Vec<_> =
            std::fs::read_dir(data.path().join("kernels")).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["chorus", "python3"], "no drafts are left");
        let extension = data.path().join("labextensions/chorus-rust");
        assert_eq!(std::fs::read_to_string(extension.join("static/remoteEntry.js")).unwrap(), EXTENSION_ENTRY);
        assert_eq!(std::fs::read_dir(data.path().join("labextensions")).unwrap().count(), 1);

        assert_eq!(uninstall_in(data.path()).unwrap(), Some(data.path().join("kernels/chorus")));
        assert_eq!(uninstall_in(data.path()).unwrap(), None);
        assert!(other.exists() && !extension.exists());
    }

    #[test]
    fn somebody_elses_folder_is_left_alone() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("kernels/chorus");
        std::fs::create_dir_all(&folder).unwrap();
        for content in [None, Some("{"), Some(r#"{"display_name": "Singing"}"#)] {
            if let Some(content) = content {
                std::fs::write(folder.join("kernel.json"), content).unwrap();
            }
            let install = install_in(data.path(), Path::new("/x")).unwrap_err();
            let uninstall = uninstall_in(data.path()).unwrap_err();
            assert!(matches!((install, uninstall), (InstallError::Foreign(_), InstallError::Foreign(_))));
        }
        assert!(folder.join("kernel.json").exists());
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::create_dir_all(data.path().join("labextensions/chorus-rust")).unwrap();
        assert!(matches!(install_in(data.path(), Path::new("/x")), Err(InstallError::Foreign(_))));
        assert!(!folder.exists(), "all or nothing");
    }

    #[test]
    fn says_what_cannot_be_written() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join("kernels"), "a file").unwrap();
        let error = install_in(data.path(), Path::new("/x")).unwrap_err().to_string();
        assert!(error.contains("kernels can't be written"), "{error}");
    }
}
