//! NVIDIA's compiler for CUDA C++, which is a library of its own that needs no GPU and is found at run time.

use super::messages::{self, Message};
use libloading::Library;
use std::ffi::{CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};

/// The names of the library, the newest version first.
const NAMES: [&str; 2] = ["libnvrtc.so.13", "libnvrtc.so.12"];
/// Where PyPI's packages put it, in a folder of Python's packages.
const IN_PACKAGES: [&str; 2] = ["nvidia/cu13/lib", "nvidia/cuda_nvrtc/lib"];
const PROGRAM: &str = "cell.cu";

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The library isn't there.
    #[error(
        "NVIDIA's compiler for CUDA C++ (NVRTC) isn't there, so nothing was compiled; looked for {}. \
         `pip install nvidia-cuda-nvrtc-cu12` in the environment that the notebook runs in is enough.", .0.join(", ")
    )]
    Missing(Vec<String>),
    /// The program is wrong. At least one of the messages is an error.
    #[error("CUDA C++ doesn't compile: {}", .0.iter().find(|it| it.is_error).map_or("", |it| &it.text))]
    Program(Vec<Message>),
    /// The library fails otherwise.
    #[error("NVRTC failed, so nothing was compiled: {0}")]
    Library(String),
}

/// Code for GPUs, and what the compiler warned of.
#[derive(Debug)]
pub struct Compiled {
    /// For GPUs of compute capability 8.0 and later.
    pub ptx: String,
    /// None of them is an error.
    pub warnings: Vec<Message>,
}

type Handle = *mut c_void;
type Create = unsafe extern "C" fn(
    *mut Handle,
    *const c_char,
    *const c_char,
    c_int,
    *const *const c_char,
    *const *const c_char,
) -> c_int;
type Compile = unsafe extern "C" fn(Handle, c_int, *const *const c_char) -> c_int;
type Size = unsafe extern "C" fn(Handle, *mut usize) -> c_int;
type Text = unsafe extern "C" fn(Handle, *mut c_char) -> c_int;
type Destroy = unsafe extern "C" fn(*mut Handle) -> c_int;

/// The compiler.
#[derive(Debug)]
pub struct Nvrtc {
    library: Library,
}

impl Nvrtc {
    /// Looks for the library: first where the system's loader does, which is also LD_LIBRARY_PATH, then in these folders
    /// of Python's packages.
    pub fn find(packages: &[PathBuf]) -> Result<Nvrtc, Failed> {
        let by_name = NAMES.iter().map(PathBuf::from);
        let in_packages = packages.iter().flat_map(|folder| {
            IN_PACKAGES.iter().flat_map(move |inner| NAMES.iter().map(move |name| folder.join(inner).join(name)))
        });
        let mut looked = Vec::new();
        for place in by_name.chain(in_packages) {
            match open(&place) {
                Ok(library) => return Ok(Nvrtc { library }),
                // One that is there but can't be loaded says why.
                Err(why) if place.is_file() => looked.push(format!("{} ({why})", place.display())),
                Err(_) => looked.push(place.display().to_string()),
            }
        }
        Err(Failed::Missing(looked))
    }

    /// Compiles a program. A product and a sum are only fused, with other bits than those of two steps, where `fmad` is.
    pub fn compile(&self, program: &str, fmad: bool) -> Result<Compiled, Failed> {
        let text = c_string(program)?;
        let name = c_string(PROGRAM)?;
        let fmad = if fmad { c"--fmad=true" } else { c"--fmad=false" };
        let options = [c"--gpu-architecture=compute_80".as_ptr(), fmad.as_ptr()];
        let handle = self.create(&text, &name)?;
        // SAFETY: the type is that of this function in NVIDIA's header; the handle is a live program, and both options
        // are texts with an end.
        let code = unsafe { self.function::<Compile>(b"nvrtcCompileProgram\0")?(handle.0, 2, options.as_ptr()) };
        let log = self.text(&handle, b"nvrtcGetProgramLogSize\0", b"nvrtcGetProgramLog\0")?;
        let messages = messages::read(&log, PROGRAM);
        if code == 0 {
            let ptx = self.text(&handle, b"nvrtcGetPTXSize\0", b"nvrtcGetPTX\0")?;
            return Ok(Compiled { ptx, warnings: messages });
        }
        match messages.iter().any(|it| it.is_error) {
            true => Err(Failed::Program(messages)),
            false => Err(Failed::Library(format!("error {code} {}", log.trim()))),
        }
    }

    fn create(&self, text: &CString, name: &CString) -> Result<Program, Failed> {
        // SAFETY: the type is that of this function in NVIDIA's header.
        let destroy = unsafe { *self.function::<Destroy>(b"nvrtcDestroyProgram\0")? };
        let mut handle = std::ptr::null_mut();
        let none = std::ptr::null();
        // SAFETY: the type is that of this function in NVIDIA's header; both texts have an end, and the program has no
        // headers of its own, so their lists may be null. It writes only the handle.
        let code = unsafe {
            let create = self.function::<Create>(b"nvrtcCreateProgram\0")?;
            create(&raw mut handle, text.as_ptr(), name.as_ptr(), 0, none, none)
        };
        done("nvrtcCreateProgram", code)?;
        Ok(Program(handle, destroy))
    }

    /// A text of a program, of which NVRTC first tells the size, with the zero at its end.
    fn text(&self, program: &Program, size_of: &[u8], read: &[u8]) -> Result<String, Failed> {
        let mut size = 0;
        // SAFETY: both functions have these types in NVIDIA's header. The program is alive, and the second one writes
        // as many bytes as the first one tells.
        let bytes = unsafe {
            done("the size of a text", self.function::<Size>(size_of)?(program.0, &raw mut size))?;
            let mut bytes = vec![0u8; size];
            done("a text", self.function::<Text>(read)?(program.0, bytes.as_mut_ptr().cast()))?;
            bytes
        };
        let text = bytes.split(|it| *it == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    /// # Safety
    /// The type has to be that of the function.
    unsafe fn function<T>(&self, name: &[u8]) -> Result<libloading::Symbol<'_, T>, Failed> {
        // SAFETY: the caller says so.
        unsafe { self.library.get(name) }.map_err(|error| Failed::Library(error.to_string()))
    }
}

/// A program of the compiler's. It goes while the library is loaded, since it is never handed out.
struct Program(Handle, Destroy);

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: the handle is a live program, which nothing uses after this.
        unsafe { (self.1)(&raw mut self.0) };
    }
}

fn open(place: &Path) -> Result<Library, libloading::Error> {
    // SAFETY: NVRTC's library may be loaded anywhere; what has its name and runs something else is its owner's choice,
    // as with any library of the system.
    unsafe { Library::new(place) }
}

fn c_string(text: &str) -> Result<CString, Failed> {
    CString::new(text).map_err(|_| Failed::Library("the program has a zero byte in it".to_owned()))
}

fn done(what: &str, code: c_int) -> Result<(), Failed> {
    match code {
        0 => Ok(()),
        code => Err(Failed::Library(format!("{what}: error {code}"))),
    }
}
