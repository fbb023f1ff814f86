//! The files that a run is to write.

use super::{RunError, folder_of};
use std::io;
use std::path::{Path, PathBuf};

/// Whether all of them can be written, each to a place of its own; the notebook may be replaced by what it becomes.
pub fn check(
    notebook: &Path,
    executed: Option<&Path>,
    junit: Option<&Path>,
    json: Option<&Path>,
) -> Result<(), RunError> {
    let mut others = vec![("the notebook", notebook)];
    if let Some(path) = executed {
        can_be_written(path).map_err(|source| RunError::Write { path: path.to_owned(), source })?;
        others.push(("the executed notebook", path));
    }
    for (report, path) in [("the report in JUnit's format", junit), ("the report as JSON", json)] {
        let Some(path) = path else { continue };
        can_be_written(path).map_err(|source| RunError::Report { path: path.to_owned(), source })?;
        if let Some((one, _)) = others.iter().find(|(_, other)| is_same(other, path)) {
            return Err(RunError::SameFile { path: path.to_owned(), one, other: report });
        }
        others.push((report, path));
    }
    Ok(())
}

fn can_be_written(path: &Path) -> io::Result<()> {
    // What ends with `/` or `..` can't be anything else.
    let is_folder = path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/") || path.is_dir();
    if is_folder {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
    }
    // A pipe or a device is written to as it is.
    let is_special = std::fs::metadata(path).is_ok_and(|data| !data.is_file());
    if is_special { Ok(()) } else { tempfile::tempfile_in(folder_of(path)).map(drop) }
}

/// Whether one of them would take the other's place. A pipe or a device takes everything.
fn is_same(one: &Path, other: &Path) -> bool {
    let is_special = std::fs::metadata(other).is_ok_and(|data| !data.is_file());
    !is_special && real(one) == real(other)
}

/// Where it is or will be, without links.
fn real(path: &Path) -> PathBuf {
    let new = || Some(folder_of(path).canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(new).unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn each_result_has_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("in"), "").unwrap();
        symlink(folder.path(), path("link")).unwrap();
        let check = |executed: Option<&str>, junit: Option<&str>, json: Option<&str>| {
            let [executed, junit, json] = [executed, junit, json].map(|name| name.map(path));
            check(&path("in"), executed.as_deref(), junit.as_deref(), json.as_deref())
        };
        check(Some("in"), Some("a"), Some("b")).unwrap();
        check(Some("new"), Some("/dev/null"), Some("/dev/null")).unwrap();
        let same = [(Some("a"), Some("a"), None), (Some("a"), None, Some("link/a")), (None, Some("a"), Some("./a"))];
        for (executed, junit, json) in same.into_iter().chain([(None, Some("link/in"), None)]) {
            let error = check(executed, junit, json).unwrap_err();
            assert!(matches!(error, RunError::SameFile { .. }) && error.exit_code() == 2, "{error}");
        }
        let error = check(Some("a"), None, Some("a")).unwrap_err().to_string();
        assert!(error.contains("/a can't be the executed notebook and the report as JSON: "), "{error}");
    }

    #[test]
    fn a_folder_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let folders = [folder.path().to_owned(), folder.path().join("new/"), folder.path().join(".."), ".".into()];
        for path in &folders {
            let error = check(Path::new("in"), Some(path), None, None).unwrap_err();
            assert!(matches!(error, RunError::Write { .. }) && error.exit_code() == 2, "{error}");
            assert!(error.to_string().ends_with("it is a folder"), "{error}");
            assert!(matches!(check(Path::new("in"), None, None, Some(path)), Err(RunError::Report { .. })));
        }
    }
}
