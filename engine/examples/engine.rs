//! An engine, as the integration tests start it.

fn main() -> std::process::ExitCode {
    chorus_engine::program::main()
}
