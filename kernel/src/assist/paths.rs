//! Paths for the files and folders of magics.

use chorus_cells::Surroundings;

/// More are of no use to who reads them.
const LISTED: usize = 500;

/// How this path can go on, with `/` behind folders. Hidden ones are listed where a dot is typed; those with blanks aren't, as
/// they need quotes.
pub fn fitting(surroundings: &Surroundings, typed: &str, only_folders: bool) -> Vec<String> {
    let (parent, name) = typed.split_at(typed.rfind('/').map_or(0, |slash| slash + 1));
    let Ok(entries) = std::fs::read_dir(surroundings.path(if parent.is_empty() { "." } else { parent })) else {
        return Vec::new();
    };
    let path = |entry: std::fs::DirEntry| {
        let found = entry.file_name().into_string().ok()?;
        let is_offered = found.starts_with(name)
            && (name.starts_with('.') || !found.starts_with('.'))
            && !found.contains(|c: char| c.is_whitespace() || "'\"\\".contains(c));
        // Of what a link leads to.
        let is_folder = is_offered && entry.path().is_dir();
        let ending = if is_folder { "/" } else { "" };
        (is_offered && (is_folder || !only_folders)).then(|| format!("{parent}{found}{ending}"))
    };
    let mut paths: Vec<String> = entries.flatten().filter_map(path).collect();
    paths.sort();
    paths.truncate(LISTED);
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_are_offered_as_typed() {
        let folder = tempfile::tempdir().unwrap();
        for made in ["src/deep", "srv", ".git"] {
            std::fs::create_dir_all(folder.path().join(made)).unwrap();
        }
        for made in ["src/lib.rs", "script.rs", "two words", ".hidden"] {
            std::fs::write(folder.path().join(made), "").unwrap();
        }
        let there = Surroundings { folder: Some(folder.path().to_owned()), env: None };
        assert_eq!(fitting(&there, "s", false), ["script.rs", "src/", "srv/"]);
        assert_eq!(fitting(&there, "s", true), ["src/", "srv/"]);
        assert_eq!(fitting(&there, "src/", false), ["src/deep/", "src/lib.rs"]);
        assert_eq!(fitting(&there, ".", false), [".git/", ".hidden"]);
        assert_eq!(fitting(&there, "", true), ["src/", "srv/"]);
        assert_eq!(fitting(&there, "nowhere/x", false), [""; 0]);
        let whole = format!("{}/sr", folder.path().display());
        assert_eq!(fitting(&there, &whole, true), [format!("{whole}c/"), format!("{whole}v/")]);
    }
}
