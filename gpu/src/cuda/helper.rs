//! NVRTC in a process of its own: it can be ended while it compiles, and what ends it ends nothing else.

use super::nvrtc::{Compiled, Failed, Nvrtc};
use serde::{Deserialize, Serialize};
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

/// The first argument that makes a program this one; the second one is the process that starts it.
pub const NVRTC: &str = "nvrtc";

/// Compute capability 8.0, for which code is that runs on all GPUs since 2020.
pub const ANY: u32 = 80;

/// What is to be compiled. The process reads it from its standard input.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    /// NVRTC's file.
    pub library: PathBuf,
    /// CUDA C++.
    pub program: String,
    /// NVRTC's options, as the user has them.
    pub options: Vec<String>,
    /// The compute capability of the GPUs, as in 90 for 9.0, if the options name none.
    pub capability: u32,
}

/// What comes of it. The process writes it to its standard output.
pub type Answer = Result<Compiled, Failed>;

/// Is the process.
pub fn main() -> ExitCode {
    let served = || -> io::Result<()> {
        let mut text = Vec::new();
        io::stdin().read_to_end(&mut text)?;
        let order: Order = serde_json::from_slice(&text)?;
        io::stdout().write_all(&serde_json::to_vec(&compile(&order))?)
    };
    match served() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chorus: this command is started by Chorus itself and not by hand: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compile(order: &Order) -> Answer {
    let nvrtc = Nvrtc::open(&order.library)?;
    let mut options = order.options.clone();
    if !options.iter().any(|it| names_architecture(it)) {
        options.push(format!("--gpu-architecture=compute_{}", nvrtc.capability(order.capability)));
    }
    nvrtc.compile(&order.program, &options)
}

fn names_architecture(option: &str) -> bool {
    option.starts_with("-arch") || option.starts_with("--gpu-architecture")
}

/// Whether what is compiled depends on nothing but the order: no file is read besides.
pub fn is_alone(program: &str, options: &[String]) -> bool {
    let reads = |option: &String| {
        let names = ["-I", "include", "file", "optf", "pch", "config"];
        names.iter().any(|name| option.contains(name))
    };
    !program.contains("include") && !options.iter().any(reads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_files_is_known() {
        assert!(is_alone("int x;", &["-DN=3".to_owned(), "--fmad=false".to_owned()]));
        for (program, option) in
            [("#include <a.h>", ""), ("", "-I/usr"), ("", "--include-path=a"), ("", "--pre-include=a"), ("", "-optf=a")]
        {
            assert!(!is_alone(program, &[option.to_owned()]), "{program}{option}");
        }
        assert!(names_architecture("-arch=sm_90") && names_architecture("--gpu-architecture=compute_75"));
        assert!(!names_architecture("-DARCH=1"));
    }
}
