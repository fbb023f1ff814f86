//! What evcxr and cargo start, for the tests: the real relay and wrapper are part of `chorus`.

fn main() -> std::process::ExitCode {
    chorus_compiler::become_tool();
    let socket = std::env::args_os().next_back().unwrap_or_default();
    chorus_compiler::relay_main(std::path::Path::new(&socket))
}
