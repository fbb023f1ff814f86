//! The process that evcxr takes for its own child, and the kernel's end of it.
//!
//! evcxr writes `LOAD_AND_RUN <object> <symbol>` to its child and reads lines until `EVCXR_EXECUTION_COMPLETE`. Ours
//! copies these lines to a socket of the kernel and the answers back; the object is loaded elsewhere, by workers.
//! The user's own output never passes here: anything unexpected on this stream would block evcxr.

use parking_lot::Mutex;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// A request of evcxr to load an object and to call one of its functions.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LoadAndRun {
    pub object: PathBuf,
    pub entry: String,
}

pub(crate) enum FromRelay {
    Request(LoadAndRun),
    /// The evaluation is over; whoever waits for requests can stop.
    EvaluationOver,
}

/// The kernel's end.
pub(crate) struct RelayServer {
    requests: Mutex<Receiver<FromRelay>>,
    over: Sender<FromRelay>,
    answers: Arc<Mutex<Option<UnixStream>>>,
    socket: PathBuf,
}

impl RelayServer {
    /// Listens in `folder`. evcxr starts the relay again when it dies, so each new connection replaces the last.
    pub fn listen(folder: &Path) -> std::io::Result<RelayServer> {
        let socket = folder.join("relay");
        let listener = UnixListener::bind(&socket)?;
        let (over, requests) = channel();
        let answers = Arc::new(Mutex::new(None));
        std::thread::Builder::new().name("evcxr-relay".into()).spawn({
            let (sender, answers) = (over.clone(), Arc::clone(&answers));
            move || {
                for stream in listener.incoming().flatten() {
                    let Ok(writer) = stream.try_clone() else { continue };
                    *answers.lock() = Some(writer);
                    for line in BufReader::new(stream).lines() {
                        let Ok(line) = line else { break };
                        let Some(request) = parse_request(&line) else { continue };
                        if sender.send(FromRelay::Request(request)).is_err() {
                            return;
                        }
                    }
                }
            }
        })?;
        Ok(RelayServer { requests: Mutex::new(requests), over, answers, socket })
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Waits for what evcxr asks next.
    pub fn next(&self) -> FromRelay {
        // This server holds a sender itself, so the channel can't be closed.
        self.requests.lock().recv().unwrap_or(FromRelay::EvaluationOver)
    }

    /// Answers a request; `markers` come before the line that ends it.
    pub fn answer(&self, markers: &[String]) {
        let mut text: String = markers.iter().map(|marker| format!("{marker}\n")).collect();
        text.push_str("EVCXR_EXECUTION_COMPLETE\n");
        if let Some(stream) = self.answers.lock().as_mut() {
            // A relay that is gone is evcxr's to report: its read fails as well.
            let _ = stream.write_all(text.as_bytes());
        }
    }

    pub fn evaluation_over(&self) -> Sender<FromRelay> {
        self.over.clone()
    }
}

fn parse_request(line: &str) -> Option<LoadAndRun> {
    let (object, entry) = line.strip_prefix("LOAD_AND_RUN ")?.rsplit_once(' ')?;
    Some(LoadAndRun { object: object.into(), entry: entry.to_owned() })
}

/// The relay program: copies stdin to the socket and the socket to stdout, and ends when either ends.
pub fn relay_main(socket: &Path) -> ExitCode {
    let copy = || -> std::io::Result<()> {
        let mut answers = UnixStream::connect(socket)?;
        let mut requests = answers.try_clone()?;
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut requests);
            std::process::exit(0);
        });
        let mut stdout = std::io::stdout().lock();
        let mut buffer = [0; 4096];
        loop {
            match answers.read(&mut buffer)? {
                0 => return Ok(()),
                n => {
                    stdout.write_all(&buffer[..n])?;
                    stdout.flush()?;
                }
            }
        }
    };
    match copy() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chorus relay: {}: {error}", socket.display());
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_parsed_and_paths_may_have_spaces() {
        let expected = LoadAndRun { object: "/tmp/a b/libcode_1.so".into(), entry: "run_user_code_0".into() };
        assert_eq!(parse_request("LOAD_AND_RUN /tmp/a b/libcode_1.so run_user_code_0"), Some(expected));
        assert_eq!(parse_request("LOAD_AND_RUN x"), None);
        assert_eq!(parse_request("user input"), None);
    }
}
