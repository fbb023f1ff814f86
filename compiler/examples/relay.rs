//! The relay program alone, for the tests: the real one is part of `chorus`.

fn main() -> std::process::ExitCode {
    let socket = std::env::args_os().next_back().unwrap_or_default();
    chorus_compiler::relay_main(std::path::Path::new(&socket))
}
