//! NVIDIA's compiler for CUDA C++, which is a library of its own that needs no GPU and is found at run time.

use super::messages::{self, Message};
use libloading::Library;
use serde::{Deserialize, Serialize};
use std::ffi::{CString, c_char, c_int, c_void};
use std::path::Path;

const PROGRAM: &str = "cell.cu";

/// Why there is no code.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub enum Failed {
    /// The program is wrong. At least one of the messages is an error.
    #[error("CUDA C++ doesn't compile: {}", .0.iter().find(|it| it.is_error).map_or("", |it| &it.text))]
    Program(Vec<Message>),
    /// The library fails otherwise.
    #[error("NVRTC failed, so nothing was compiled: {0}")]
    Library(String),
}

/// Code for GPUs, and what the compiler warned of.
#[derive(Debug, Serialize, Deserialize)]
pub struct Compiled {
    /// The code.
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
    /// Loads the library that this file is.
    pub fn open(library: &Path) -> Result<Nvrtc, Failed> {
        // SAFETY: NVRTC's library may be loaded anywhere; what has its name and runs something else is its owner's choice,
        // as with any library of the system.
        let loaded = unsafe { Library::new(library) };
        let failed = |error| Failed::Library(format!("{} can't be loaded: {error}", library.display()));
        Ok(Nvrtc { library: loaded.map_err(failed)? })
    }

    /// The latest compute capability that it compiles for and that isn't above this one, as in 80 for 8.0. This one itself
    /// if it knows of none.
    pub fn capability(&self, most: u32) -> u32 {
        let known = self.capabilities().unwrap_or_default();
        known.into_iter().filter(|it| *it <= most).max().unwrap_or(most)
    }

    fn capabilities(&self) -> Option<Vec<u32>> {
        let mut count = 0;
        // SAFETY: both functions have these types in NVIDIA's header. The second one writes as many numbers as the first
        // one tells.
        unsafe {
            let ask =
                self.function::<unsafe extern "C" fn(*mut c_int) -> c_int>(b"nvrtcGetNumSupportedArchs\0").ok()?;
            done("the number of architectures", ask(&raw mut count)).ok()?;
            let mut all = vec![0; usize::try_from(count).ok()?];
            let ask = self.function::<unsafe extern "C" fn(*mut c_int) -> c_int>(b"nvrtcGetSupportedArchs\0").ok()?;
            done("the architectures", ask(all.as_mut_ptr())).ok()?;
            Some(all.into_iter().map(c_int::unsigned_abs).collect())
        }
    }

    /// Compiles a program with these of NVRTC's options.
    pub fn compile(&self, program: &str, options: &[String]) -> Result<Compiled, Failed> {
        let text = c_string(program)?;
        let name = c_string(PROGRAM)?;
        let texts = options.iter().map(|it| c_string(it)).collect::<Result<Vec<CString>, Failed>>()?;
        let count = c_int::try_from(texts.len()).map_err(|error| Failed::Library(error.to_string()))?;
        let options: Vec<*const c_char> = texts.iter().map(|it| it.as_ptr()).collect();
        let handle = self.create(&text, &name)?;
        // SAFETY: the type is that of this function in NVIDIA's header; the handle is a live program, and the options are so
        // many texts with an end.
        let code = unsafe { self.function::<Compile>(b"nvrtcCompileProgram\0")?(handle.0, count, options.as_ptr()) };
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

fn c_string(text: &str) -> Result<CString, Failed> {
    CString::new(text).map_err(|_| Failed::Library("there is a zero byte in the program or its options".to_owned()))
}

fn done(what: &str, code: c_int) -> Result<(), Failed> {
    match code {
        0 => Ok(()),
        code => Err(Failed::Library(format!("{what}: error {code}"))),
    }
}
