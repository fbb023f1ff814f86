//! An engine of a cluster, for hosts that run engines only: it links no compiler. Where the controller is on another host,
//! it is also the outpost that starts engines, and on the controller's host their deputies.

use chorus_remote::deputies::DEPUTIES;
use chorus_remote::outpost::{self, OUTPOST};

fn main() -> std::process::ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == OUTPOST) {
        return outpost::main(&[], std::env::args_os().skip(1));
    }
    if std::env::args_os().nth(1).is_some_and(|first| first == DEPUTIES) {
        return chorus_remote::deputies::main(std::env::args_os().skip(2));
    }
    chorus_engine::program::main()
}
