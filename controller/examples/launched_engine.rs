//! The real engine, for the tests to start.

fn main() -> std::process::ExitCode {
    chorus_engine::program::main()
}
