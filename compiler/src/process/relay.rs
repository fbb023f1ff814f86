//! The process that evcxr takes for its own child, and this process's end of it.
//!
//! evcxr writes `LOAD_AND_RUN <object> <symbol>` to its child and reads lines until `EVCXR_EXECUTION_COMPLETE`. Ours
//! copies these lines to a socket of the compiler's process, which answers at once: objects are run elsewhere, and later.
//! The user's own output never passes here: anything unexpected on this stream would block evcxr.

use super::message::ToRun;
use chorus_system::descriptors::{self, Programs};
use parking_lot::Mutex;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// The name of the socket in the folder where everything is built.
const SOCKET: &str = "relay";

/// This process's end.
pub(super) struct RelayServer {
    listener: Arc<UnixListener>,
    talk: Arc<Mutex<Talk>>,
    socket: PathBuf,
}

/// What is said in one evaluation.
#[derive(Default)]
struct Talk {
    /// What the first answer says can't be loaded.
    lose: Vec<String>,
    /// What evcxr wanted to be run last.
    last: Option<ToRun>,
    /// The descriptors that the relay is read from, and answered to.
    relay: Option<[RawFd; 2]>,
}

impl RelayServer {
    /// Listens in `folder`. evcxr starts the relay again when it dies.
    pub fn listen(folder: &Path) -> io::Result<RelayServer> {
        let socket = folder.join(SOCKET);
        let listener = Arc::new(bind(&socket)?);
        let talk = Arc::new(Mutex::new(Talk::default()));
        std::thread::Builder::new().name("evcxr-relay".into()).spawn({
            let (listener, talk) = (Arc::clone(&listener), Arc::clone(&talk));
            move || {
                for stream in listener.incoming().flatten() {
                    // A relay that is gone is evcxr's to report: its read fails as well.
                    let _ = answer(stream, &talk);
                }
            }
        })?;
        Ok(RelayServer { listener, talk, socket })
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// An evaluation begins, in which these variables can't be loaded.
    pub fn expect(&self, lose: &[String]) {
        let mut talk = self.talk.lock();
        talk.lose = lose.to_vec();
        talk.last = None;
    }

    /// What evcxr wanted to be run in this evaluation.
    pub fn last(&self) -> Option<ToRun> {
        self.talk.lock().last.take()
    }
}

/// Listens here. One that built in this folder before may have left its socket.
fn bind(socket: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => UnixListener::bind(socket),
    }
}

/// Answers one relay, or evcxr itself, until it is gone.
fn answer(stream: UnixStream, talk: &Mutex<Talk>) -> io::Result<()> {
    let mut answers = stream.try_clone()?;
    talk.lock().relay = Some([stream.as_raw_fd(), answers.as_raw_fd()]);
    for line in BufReader::new(stream).lines() {
        let Some(request) = parse_request(&line?) else { continue };
        let lose = {
            let mut talk = talk.lock();
            talk.last = Some(request);
            std::mem::take(&mut talk.lose)
        };
        let mut text: String = lose.iter().map(|name| format!("EVCXR_VARIABLE_CHANGED_TYPE:{name}\n")).collect();
        text.push_str("EVCXR_EXECUTION_COMPLETE\n");
        answers.write_all(text.as_bytes())?;
    }
    Ok(())
}

fn parse_request(line: &str) -> Option<ToRun> {
    let (object, entry) = line.strip_prefix("LOAD_AND_RUN ")?.rsplit_once(' ')?;
    Some(ToRun { object: object.into(), entry: entry.to_owned() })
}

/// What a copy of this process has in the place of what it shares with this one: it mustn't hear this one's relay, nor be
/// heard by it. evcxr is connected to the copy directly, since a relay would be another process to start.
pub(super) struct Own {
    listener: UnixListener,
    evcxrs: UnixStream,
    ours: UnixStream,
    listens: RawFd,
    /// Where evcxr writes to its child, and reads from it.
    child: [RawFd; 2],
    /// Where this process reads from its relay, and answers it.
    relay: [RawFd; 2],
}

impl Own {
    /// Made before the copy is; `child` is evcxr's.
    pub fn new(server: &RelayServer, child: u32, folder: &File) -> io::Result<Own> {
        let missing = |what: &str| io::Error::other(format!("evcxr has no {what}"));
        // By a name that is short enough for a socket, wherever the folder is.
        let listener = bind(&Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(SOCKET))?;
        let (evcxrs, ours) = UnixStream::pair()?;
        let other_end = |number| descriptors::other_end(child, number)?.ok_or_else(|| missing("pipe to its child"));
        let relay = server.talk.lock().relay.ok_or_else(|| missing("child"))?;
        let listens = server.listener.as_raw_fd();
        Ok(Own { listener, evcxrs, ours, listens, child: [other_end(0)?, other_end(1)?], relay })
    }

    /// For the copy, before its threads go on. Takes no memory from the allocator.
    pub fn put_in_place(&self) -> io::Result<()> {
        let put = |fd: BorrowedFd<'_>, number| descriptors::put_in_place(fd, number, Programs::Lack);
        put(self.listener.as_fd(), self.listens)?;
        self.child.iter().try_for_each(|number| put(self.evcxrs.as_fd(), *number))?;
        self.relay.iter().try_for_each(|number| put(self.ours.as_fd(), *number))
    }
}

/// The relay program: copies stdin to the socket and the socket to stdout, and ends when either ends.
pub fn relay_main(socket: &Path) -> ExitCode {
    let copy = || -> io::Result<()> {
        let mut answers = UnixStream::connect(socket)?;
        let mut requests = answers.try_clone()?;
        std::thread::spawn(move || {
            let _ = io::copy(&mut io::stdin().lock(), &mut requests);
            std::process::exit(0);
        });
        let mut stdout = io::stdout().lock();
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
        let expected = ToRun { object: "/tmp/a b/libcode_1.so".into(), entry: "run_user_code_0".into() };
        assert_eq!(parse_request("LOAD_AND_RUN /tmp/a b/libcode_1.so run_user_code_0"), Some(expected));
        assert_eq!(parse_request("LOAD_AND_RUN x"), None);
        assert_eq!(parse_request("user input"), None);
    }

    #[test]
    fn only_the_first_answer_of_an_evaluation_says_what_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let server = RelayServer::listen(folder.path()).unwrap();
        let mut evcxr = UnixStream::connect(server.socket()).unwrap();
        let mut lines = BufReader::new(evcxr.try_clone().unwrap()).lines();
        let mut run = |name: &str, answers: &[&str]| {
            writeln!(evcxr, "LOAD_AND_RUN /{name}.so {name}").unwrap();
            answers.iter().for_each(|answer| assert_eq!(lines.next().unwrap().unwrap(), *answer));
        };
        server.expect(&["a".into(), "b".into()]);
        let lost = ["EVCXR_VARIABLE_CHANGED_TYPE:a", "EVCXR_VARIABLE_CHANGED_TYPE:b", "EVCXR_EXECUTION_COMPLETE"];
        run("f", &lost);
        run("g", &lost[2..]);
        assert_eq!(server.last(), Some(ToRun { object: "/g.so".into(), entry: "g".into() }));
        server.expect(&[]);
        assert_eq!(server.last(), None);
        run("f", &lost[2..]);
        assert!(server.last().is_some());
    }
}
