use super::*;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::OnceLock;

/// The target for tests that compile, or `None` where neither the toolchain nor its sources have `core`. What was built
/// stays for later runs.
pub(crate) fn for_tests() -> Option<&'static Target> {
    static FOUND: OnceLock<Option<Target>> = OnceLock::new();
    let find = || {
        let cache = std::env::temp_dir().join("chorus-gpu-tests");
        find(rustc(), &cache).ok().or_else(|| match build_core(rustc(), &cache) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            built => Some(built.unwrap()),
        })
    };
    FOUND.get_or_init(find).as_ref()
}

pub(crate) fn rustc() -> &'static Path {
    static RUSTC: OnceLock<PathBuf> = OnceLock::new();
    RUSTC.get_or_init(|| std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()).into())
}

/// A compiler that isn't one: it knows its version and its toolchain, builds empty files, and counts how often.
struct Compiler {
    folder: tempfile::TempDir,
}

impl Compiler {
    fn new(version: &str) -> Compiler {
        let compiler = Compiler { folder: tempfile::tempdir().unwrap() };
        compiler.write(version, "touch \"$out/lib$name.rlib\"");
        compiler
    }

    fn write(&self, version: &str, build: &str) {
        let folder = self.folder.path().display();
        let script = format!(
            "#!/bin/sh\ncase \"$1\" in -vV) echo {version}; exit;; --print) echo {folder}/sysroot; exit;; esac\n\
             while [ $# -gt 0 ]; do case \"$1\" in --crate-name) name=$2;; --out-dir) out=$2;; esac; shift; done\n\
             echo $name $RUSTC_BOOTSTRAP >> {folder}/built\n{build}\n"
        );
        // In a process of many threads, a file that is written to may be open in a child of another one.
        let new = self.folder.path().join("new");
        fs::write(&new, script).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        let copied = Command::new("cp").arg(&new).arg(self.path()).status().unwrap();
        assert!(copied.success());
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("rustc")
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn add(&self, file: &str) {
        let file = self.folder.path().join("sysroot/lib/rustlib").join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "").unwrap();
    }

    fn add_source(&self) {
        self.add("src/rust/library/core/src/lib.rs");
    }

    fn built(&self) -> String {
        fs::read_to_string(self.folder.path().join("built")).unwrap_or_default()
    }
}

#[test]
fn the_toolchains_own_library_is_taken() {
    let compiler = Compiler::new("1");
    compiler.add("nvptx64-nvidia-cuda/lib/libcore-0123.rlib");
    assert_eq!(find(&compiler.path(), &compiler.cache()).unwrap(), Target { libraries: None });
}

#[test]
fn what_is_missing_is_said_with_what_to_do() {
    let compiler = Compiler::new("1");
    let missing = find(&compiler.path(), &compiler.cache()).unwrap_err().to_string();
    assert!(missing.contains("`rustup target add nvptx64-nvidia-cuda` fetches"), "{missing}");
    assert!(missing.contains("`chorus gpu setup`"), "{missing}");
    let error = build_core(&compiler.path(), &compiler.cache()).unwrap_err();
    assert!(error.to_string().contains("`rustup component add rust-src`"), "{error}");
    let nowhere = find(Path::new("/nowhere/rustc"), &compiler.cache()).unwrap_err().to_string();
    assert!(nowhere.starts_with("`/nowhere/rustc` can't be run: "), "{nowhere}");
}

#[test]
fn a_library_is_built_once_for_each_compiler() {
    let compiler = Compiler::new("1");
    compiler.add_source();
    let (rustc, cache) = (compiler.path(), compiler.cache());
    let first = build_core(&rustc, &cache).unwrap();
    assert_eq!(find(&rustc, &cache).unwrap(), first);
    assert_eq!(build_core(&rustc, &cache).unwrap(), first);
    assert_eq!(compiler.built(), "core 1\ncompiler_builtins 1\n");
    let newer = Compiler { folder: compiler.folder };
    newer.write("2", "touch \"$out/lib$name.rlib\"");
    assert!(matches!(find(&rustc, &cache), Err(Missing::Library)));
    assert_ne!(build_core(&rustc, &cache).unwrap(), first);
}

#[test]
fn half_a_library_is_none() {
    let compiler = Compiler::new("1");
    compiler.add_source();
    compiler.write("1", "touch \"$out/lib$name.rlib\"\n[ $name = core ] || { echo no room >&2; exit 1; }");
    let error = build_core(&compiler.path(), &compiler.cache()).unwrap_err().to_string();
    assert_eq!(error, "`compiler_builtins` can't be built for GPUs: no room");
    assert!(matches!(find(&compiler.path(), &compiler.cache()), Err(Missing::Library)));
    assert_eq!(fs::read_dir(compiler.cache()).unwrap().count(), 0, "what was begun is removed");
}
