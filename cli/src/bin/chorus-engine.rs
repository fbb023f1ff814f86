//! An engine of a cluster, for hosts that run engines only: it links no compiler.

fn main() -> std::process::ExitCode {
    chorus_engine::program::main()
}
