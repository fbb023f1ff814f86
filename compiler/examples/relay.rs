//! What the compiler, evcxr and cargo start, for the tests: the real programs are part of `chorus`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    chorus_compiler::become_tool();
    let args: Vec<_> = std::env::args_os().collect();
    match args.as_slice() {
        // SAFETY: nothing has started a thread yet.
        [_, what, folder] if what == "compiler" => unsafe { chorus_compiler::compiler_main(Path::new(folder)) },
        [.., socket] => chorus_compiler::relay_main(Path::new(socket)),
        [] => ExitCode::FAILURE,
    }
}
