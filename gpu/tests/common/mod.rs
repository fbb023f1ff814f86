//! One source, twice: a closure of a test is compiled with it for the CPU, and its text for a GPU, where the simulated
//! device runs it. Results must have the same bits, and the same item must be the first that fails.

// Each test uses some of it.
#![allow(dead_code)]

pub mod ptxas;
pub mod random;

use chorus_gpu::build::{self, Built, Compiler, Failed};
use chorus_gpu::crates::Crates;
use chorus_gpu::devices::{Constant, Device as _, Items, Results, Simulated, Value, Work};
use chorus_gpu::math;
use chorus_gpu::source::{Crate, Definition};
use chorus_gpu::toolchain::{self, Target};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Once};

/// Where `core` is kept that this test has built.
pub fn cache() -> &'static Path {
    Path::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/gpu"))
}

pub fn cargo() -> PathBuf {
    std::env::var_os("CARGO").expect("cargo runs the tests").into()
}

pub fn rustc() -> PathBuf {
    let root = Command::new("rustc").args(["--print", "sysroot"]).output().expect("rustc is there");
    Path::new(String::from_utf8_lossy(&root.stdout).trim()).join("bin/rustc")
}

/// Whether rustc compiles for GPUs here; what it needs is built if it can be. If not, tests say so and pass.
pub fn can_compile() -> bool {
    static CAN: LazyLock<Result<(), String>> = LazyLock::new(|| {
        if toolchain::find(&rustc(), cache()).is_ok() {
            return Ok(());
        }
        let built = toolchain::build_core(&rustc(), cache()).or_else(|error| {
            let added = Command::new("rustup").args(["component", "add", "rust-src"]).status();
            if added.is_ok_and(|status| status.success()) {
                toolchain::build_core(&rustc(), cache())
            } else {
                Err(error)
            }
        });
        built.map(drop).map_err(|error| error.to_string())
    });
    if let Err(why) = &*CAN {
        eprintln!("skipped, since rustc can't compile for GPUs here: {why}");
    }
    CAN.is_ok()
}

/// What was found.
pub fn target() -> Target {
    toolchain::find(&rustc(), cache()).expect("it was found before")
}

/// A closure of a type of items, as text.
pub struct Case<'a> {
    /// Definitions that it uses.
    pub definitions: &'a [&'a str],
    /// The closure.
    pub function: &'a str,
    /// The type of an item.
    pub item: &'a str,
    /// Variables that it uses: name, type, value.
    pub constants: Vec<(&'a str, &'a str, Constant)>,
    /// Crates that it names.
    pub crates: Crates,
}

impl Case<'_> {
    /// The crate of it.
    pub fn source(&self) -> Crate {
        let names: String = self.constants.iter().map(|(name, ..)| format!("{name}, ")).collect();
        let types: String = self.constants.iter().map(|(_, of, _)| format!("{of}, ")).collect();
        let (item, function) = (self.item, self.function);
        let body = format!(
            "px_call.run(|(xs,): (Vec<{item}>,)| chorus_gpu::over!(&xs), |({names}): ({types}), px_items| px_items.map({function}))"
        );
        let definitions: Vec<Definition> = self
            .definitions
            .iter()
            .map(|text| Definition {
                text: (*text).to_owned(),
                label: "a definition".to_owned(),
                is_optional: text.starts_with("use "),
            })
            .collect();
        Crate::new(&definitions, &body)
    }

    pub fn build(&self) -> Built {
        let target = target();
        let source = self.source();
        let mut crates = self.crates.clone();
        if source.uses_mathematics {
            crates = crates.and(math::library(&cargo(), cache(), Some(&target)).expect("libm can be compiled"));
        }
        let compiler = Compiler { rustc: &rustc(), target: &target, crates: &crates };
        match build::build(&compiler, &source.text) {
            Ok(built) => built,
            Err(Failed::Rustc(said)) => {
                let said: Vec<&str> = said.iter().filter_map(|it| it["rendered"].as_str()).collect();
                panic!("`{}` doesn't compile:\n{}", self.function, said.join("\n"))
            }
            Err(error) => panic!("`{}`: {error}", self.function),
        }
    }
}

/// The bytes of a value, as a constant.
pub fn constant<T: Copy>(values: &[T]) -> Constant {
    Constant { elements: values.len() as u64, value: Value::Bytes(bytes(values)) }
}

fn bytes<T: Copy>(values: &[T]) -> Vec<u8> {
    let mut bytes = vec![0; size_of_val(values)];
    // SAFETY: as many bytes as the values have.
    unsafe { std::ptr::copy_nonoverlapping(values.as_ptr().cast(), bytes.as_mut_ptr(), bytes.len()) };
    bytes
}

/// Compares what the CPU and the device make of these items: `same` compares two results.
pub fn check<T: Copy, R: Copy + std::fmt::Debug>(
    case: &Case<'_>,
    items: &[T],
    function: impl Fn(T) -> R,
    same: impl Fn(&R, &R) -> bool,
) {
    quiet();
    let built = case.build();
    let expected: Vec<Result<R, ()>> =
        items.iter().map(|item| catch_unwind(AssertUnwindSafe(|| function(*item))).map_err(drop)).collect();
    let layout = [size_of::<T>(), align_of::<T>(), size_of::<R>(), align_of::<R>()].map(|number| number as u64);
    assert_eq!(built.layout, layout, "`{}`: items and results lie otherwise", case.function);
    let mut results = vec![0u8; size_of::<R>() * items.len()];
    let mut device = Simulated::default();
    let constants: Vec<Constant> = case.constants.iter().map(|(.., constant)| constant.clone()).collect();
    device.load(&built.ptx, &constants).unwrap_or_else(|error| panic!("`{}`: {error}", case.function));
    let items_here = bytes(items);
    let work =
        Work { items: Items::Here(&items_here), results: Results::Here(&mut results), count: items.len() as u64 };
    let ran = device.run(work, &|| false).unwrap_or_else(|error| panic!("`{}`: {error}", case.function));
    let first = expected.iter().position(|result| result.is_err()).map(|first| first as u64);
    assert_eq!(ran.failing, first, "`{}`: the first item that fails", case.function);
    for (at, (result, bytes)) in expected.iter().zip(results.chunks_exact(size_of::<R>().max(1))).enumerate() {
        let Ok(result) = result else { break };
        let mut got = MaybeUninit::<R>::uninit();
        // SAFETY: what the device has written is a value of the type, since the same function has made it.
        let got = unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), got.as_mut_ptr().cast::<u8>(), size_of::<R>());
            got.assume_init()
        };
        assert!(same(result, &got), "`{}`, item {at}: {result:?} on the CPU, {got:?} on the device", case.function);
    }
}

/// Items that are to fail say nothing.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let place = panic.location().map(|place| place.file().to_owned()).unwrap_or_default();
            if !place.ends_with("corpus.rs") && !place.contains("library/core") {
                before(panic);
            }
        }));
    });
}
