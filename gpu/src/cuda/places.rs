//! Where NVRTC is looked for.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// Names the library, or the folder that has it. Then it is looked for nowhere else.
pub const CHOICE: &str = "CHORUS_NVRTC";

/// The names of the library. The code of the older one is taken by more drivers.
const NAMES: [&str; 2] = ["libnvrtc.so.12", "libnvrtc.so.13"];
/// Where PyPI's packages put it, in a folder of Python's packages.
const IN_PACKAGES: [&str; 2] = ["nvidia/cuda_nvrtc/lib", "nvidia/cu13/lib"];
/// Where systems have it.
const SYSTEM: [&str; 6] = [
    "/usr/local/cuda/lib64",
    "/opt/cuda/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
];

/// That it is in none of these places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    looked: Vec<PathBuf>,
    is_chosen: bool,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let looked: Vec<String> = self.looked.iter().map(|it| it.display().to_string()).collect();
        let (looked, names) = (looked.join(", "), NAMES.join(" or "));
        let lacks = format!("NVIDIA's compiler for CUDA C++ (NVRTC, {names}) isn't there, so nothing was compiled");
        match self.is_chosen {
            true => write!(f, "{lacks}: {CHOICE} says {looked}, and it was looked for nowhere else"),
            false => write!(
                f,
                "{lacks}; looked in {looked}.\nhelp: `!pip install nvidia-cuda-nvrtc-cu12` is enough (90 MB), or {CHOICE} \
                 names the library or its folder"
            ),
        }
    }
}

impl Missing {
    /// Whether the user has said where it is.
    pub fn is_chosen(&self) -> bool {
        self.is_chosen
    }
}

/// Finds it with these variables of the environment, in the system's folders, or in these folders of Python's packages.
pub fn find(var: &dyn Fn(&str) -> Option<OsString>, python: &[PathBuf]) -> Result<PathBuf, Missing> {
    find_in(var, &SYSTEM, python)
}

fn find_in(var: &dyn Fn(&str) -> Option<OsString>, system: &[&str], python: &[PathBuf]) -> Result<PathBuf, Missing> {
    let var = &|name: &str| var(name).filter(|value| !value.is_empty());
    if let Some(choice) = var(CHOICE).map(PathBuf::from) {
        let file = Some(choice.clone()).filter(|it| it.is_file()).or_else(|| in_folder(&choice));
        return file.ok_or(Missing { looked: vec![choice], is_chosen: true });
    }
    let system = system.iter().map(PathBuf::from);
    let mut looked = Vec::new();
    for folder in packages(&named(var)).into_iter().chain(libraries(var)).chain(system).chain(packages(python)) {
        match in_folder(&folder) {
            Some(file) => return Ok(file),
            None if looked.contains(&folder) => {}
            None => looked.push(folder),
        }
    }
    Err(Missing { looked, is_chosen: false })
}

fn in_folder(folder: &Path) -> Option<PathBuf> {
    NAMES.iter().map(|name| folder.join(name)).find(|file| file.is_file())
}

/// Where these folders of Python's packages would have it.
fn packages(folders: &[PathBuf]) -> Vec<PathBuf> {
    folders.iter().flat_map(|folder| IN_PACKAGES.map(|inner| folder.join(inner))).collect()
}

/// The folders of packages of the environment that is active.
fn named(var: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let Some(root) = var("VIRTUAL_ENV").or_else(|| var("CONDA_PREFIX")).map(PathBuf::from) else { return Vec::new() };
    let entries = std::fs::read_dir(root.join("lib")).into_iter().flatten().flatten();
    let is_python = |name: &OsString| name.to_str().is_some_and(|name| name.starts_with("python3"));
    let versions = entries.filter(|entry| is_python(&entry.file_name()));
    versions.map(|entry| entry.path().join("site-packages")).collect()
}

/// The folders of libraries that variables name.
fn libraries(var: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let path = var("LD_LIBRARY_PATH").unwrap_or_default();
    // What has no name is the folder where one is.
    let named = std::env::split_paths(&path).filter(|folder| !folder.as_os_str().is_empty());
    let cuda = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(var).map(|root| PathBuf::from(root).join("lib64"));
    let conda = var("CONDA_PREFIX").map(|root| PathBuf::from(root).join("lib"));
    named.chain(cuda).chain(conda).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_where_the_variables_or_python_say() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        let make = |path: &str| {
            std::fs::create_dir_all(at(path).parent().unwrap()).unwrap();
            std::fs::write(at(path), "").unwrap();
            at(path)
        };
        let with = |variables: &[(&str, &str)], python: &[PathBuf]| {
            let var = |name: &str| variables.iter().find(|it| it.0 == name).map(|it| at(it.1).into_os_string());
            find_in(&var, &[], python)
        };
        let venv = make("venv/lib/python3.12/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12");
        let variables = [("VIRTUAL_ENV", "venv"), ("CUDA_HOME", "cuda")];
        assert_eq!(with(&variables, &[]), Ok(venv));
        let newer = make("cuda/lib64/libnvrtc.so.13");
        assert_eq!(with(&variables[1..], &[]), Ok(newer.clone()));
        let cuda = make("cuda/lib64/libnvrtc.so.12");
        assert_eq!(with(&variables[1..], &[]), Ok(cuda.clone()));
        assert_eq!(with(&[("LD_LIBRARY_PATH", "cuda/lib64")], &[]), Ok(cuda.clone()));
        let empty = |name: &str| if name == "CUDA_HOME" { Some(at("cuda").into()) } else { Some(OsString::new()) };
        assert_eq!(find_in(&empty, &[], &[]), Ok(cuda.clone()));
        let by_python = make("user/nvidia/cu13/lib/libnvrtc.so.13");
        assert_eq!(with(&[("CUDA_HOME", "none")], &[at("none"), at("user")]), Ok(by_python));
        // A choice is a file or a folder, and the last word.
        assert_eq!(with(&[(CHOICE, "cuda/lib64/libnvrtc.so.13"), variables[0]], &[]), Ok(newer));
        assert_eq!(with(&[(CHOICE, "cuda/lib64")], &[]), Ok(cuda));
        let missing = with(&[(CHOICE, "empty"), variables[0]], &[at("user")]).unwrap_err();
        let says = format!("{CHOICE} says {}", at("empty").display());
        assert!(missing.is_chosen() && missing.to_string().contains(&says), "{missing}");
        let missing = with(&[("CUDA_HOME", "none")], &[at("none")]).unwrap_err();
        let looked = [at("none/lib64"), at("none/nvidia/cuda_nvrtc/lib"), at("none/nvidia/cu13/lib")];
        assert_eq!((missing.is_chosen(), &missing.looked[..]), (false, &looked[..]));
    }

    #[test]
    fn whoever_lacks_it_is_told_where_it_was_looked_for_and_what_to_do() {
        let looked = packages(&["/p".into()]);
        let shown = Missing { looked, is_chosen: false }.to_string();
        for says in [
            "libnvrtc.so.12 or libnvrtc.so.13",
            "/p/nvidia/cuda_nvrtc/lib",
            "pip install nvidia-cuda-nvrtc-cu12",
            CHOICE,
        ] {
            assert!(shown.contains(says), "{shown}");
        }
    }
}
