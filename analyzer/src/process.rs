//! The analyzer's process: requests in, replies out, until nobody is there to ask.

use crate::host::Host;
use crate::message::{Answer, Reply, Request};
use std::io::{BufRead, Write};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::channel;

/// rust-analyzer recurses deeply on large expressions.
const STACK: usize = 64 << 20;

/// Answers the requests on stdin for the notebook whose builds are in the folder `builds`, and ends with them: also in
/// the middle of an answer, since whoever asked is gone.
pub fn analyzer_main(builds: &Path) -> ExitCode {
    let (requests, waiting) = channel::<Request>();
    let builds = builds.to_owned();
    let started = std::thread::Builder::new().name("analyzer".into()).stack_size(STACK).spawn(move || {
        let mut host = Host::new(&builds);
        for request in waiting {
            let answer = std::panic::catch_unwind(AssertUnwindSafe(|| host.answer(&request)))
                .unwrap_or_else(|_| Answer::Failed("rust-analyzer panicked".into()));
            if write(&Reply { id: request.id, answer }).is_err() {
                std::process::exit(0);
            }
        }
    });
    if let Err(error) = started {
        eprintln!("chorus analyzer: its thread can't be started: {error}");
        return ExitCode::FAILURE;
    }
    for line in std::io::stdin().lock().lines() {
        match line.map(|line| serde_json::from_str(&line)) {
            Ok(Ok(request)) => _ = requests.send(request),
            Ok(Err(error)) => {
                eprintln!("chorus analyzer: a request makes no sense: {error}");
                return ExitCode::FAILURE;
            }
            Err(_) => break,
        }
    }
    ExitCode::SUCCESS
}

fn write(reply: &Reply) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&line)?;
    stdout.flush()
}
