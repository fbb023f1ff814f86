//! Answers what is asked about rooms, on the side that has them; the messages are [`px::link::RoomAsk`] and
//! [`px::link::RoomAnswer`].

use chorus_protocol::VALUE_PREFIX;
use parking_lot::Mutex;
use px::link::{MOST, Message, RoomAnswer, RoomAsk, frame_length, framed};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::broadcast;

/// Why something wasn't done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody has the room any more.
    Gone,
    /// A sentence.
    Failed(String),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        Refusal::Failed(error.to_string())
    }
}

/// Who has rooms.
pub trait Store: Send + Sync + 'static {
    /// The file of a room.
    fn open(&self, room: &str) -> Result<File, Refusal>;

    /// Makes room for so many bytes behind what was appended before, and says where.
    fn reserve(&self, room: &str, bytes: u64) -> Result<u64, Refusal>;

    /// Makes the file for a large result.
    fn make(&self, room: &str, bytes: u64) -> Result<(), Refusal>;

    /// Removes it, if it is there.
    fn remove(&self, room: &str) -> Result<(), Refusal>;

    /// Tells of rooms that are let go of from now on, if they ever are.
    fn watch(&self) -> Option<broadcast::Receiver<String>>;
}

/// So many bytes are on their way from one place to the next at once: few enough to stay in a processor's cache.
pub(crate) const PART: usize = 256 << 10;

/// Who lends rooms in this process, by the socket at which others reach them.
static LENT: LazyLock<Mutex<HashMap<PathBuf, Arc<dyn Store>>>> = LazyLock::new(Mutex::default);

/// Rooms that are lent. A gateway in the same process, as that of a notebook's own cluster, takes them from here: through
/// the socket, each byte would be copied twice more. Dropping it ends that.
#[derive(Debug)]
pub struct Lent(PathBuf);

impl Lent {
    /// Lends what is also asked for at this socket.
    pub fn at(socket: PathBuf, store: Arc<dyn Store>) -> Lent {
        LENT.lock().insert(socket.clone(), store);
        Lent(socket)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        LENT.lock().remove(&self.0);
    }
}

/// Who lends rooms at this socket, if it is this process.
pub(crate) fn lent_at(socket: &Path) -> Option<Arc<dyn Store>> {
    LENT.lock().get(socket).map(Arc::clone)
}

/// A question, or `None` at the end. What comes along follows.
pub(crate) async fn next_ask(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<RoomAsk>> {
    let mut head = [0; 4];
    match from.read_exact(&mut head).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        read => {
            read?;
            next(from, head, RoomAsk::brings).await.map(Some)
        }
    }
}

/// The next answer. What comes along follows.
pub(crate) async fn next_answer(from: &mut (impl AsyncRead + Unpin)) -> io::Result<RoomAnswer> {
    let mut head = [0; 4];
    from.read_exact(&mut head).await?;
    next(from, head, RoomAnswer::brings).await
}

/// What is behind its length.
async fn next<M: Message>(
    from: &mut (impl AsyncRead + Unpin),
    head: [u8; 4],
    brings: impl FnOnce(&M) -> u64,
) -> io::Result<M> {
    let mut message = vec![0; frame_length(head).map_err(invalid)?];
    from.read_exact(&mut message).await?;
    let message = M::decode(&message).map_err(invalid)?;
    if brings(&message) > MOST {
        return Err(invalid("more bytes than may come along"));
    }
    Ok(message)
}

/// Appends what has come of so many bytes that come along; at least one, unless there are none.
pub(crate) async fn take_some(from: &mut (impl AsyncRead + Unpin), left: u64, to: &mut Vec<u8>) -> io::Result<u64> {
    match from.take(left).read_buf(to).await? {
        0 if left > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
        some => Ok(some as u64),
    }
}

/// Puts what comes along into a file, part by part. All of it is taken from the connection even if the file, or why there is
/// none, is an error: the inner one.
pub(crate) async fn take_into<E: From<io::Error>>(
    from: &mut (impl AsyncRead + Unpin),
    length: u64,
    to: Result<(&File, u64), E>,
) -> io::Result<Result<(), E>> {
    let mut part = Vec::with_capacity(PART.min(length as usize));
    let (mut done, mut to) = (0, to);
    while done < length {
        part.clear();
        let size = (PART as u64).min(length - done);
        while (part.len() as u64) < size {
            take_some(from, size - part.len() as u64, &mut part).await?;
        }
        if let Ok((file, at)) = to
            && let Err(error) = file.write_all_at(&part, at + done)
        {
            to = Err(error.into());
        }
        done += size;
    }
    Ok(to.map(drop))
}

/// Sends bytes of a file, part by part. If it hasn't got them, the connection is of no use any more.
async fn send_from(to: &mut (impl AsyncWrite + Unpin), length: u64, file: &File, at: u64) -> io::Result<()> {
    let mut part = vec![0; PART.min(length as usize)];
    let mut done = 0;
    while done < length {
        let size = part.len().min((length - done) as usize);
        file.read_exact_at(&mut part[..size], at + done)?;
        to.write_all(&part[..size]).await?;
        done += size as u64;
    }
    to.flush().await
}

/// Sends an answer with what comes along.
pub(crate) async fn tell(to: &mut (impl AsyncWrite + Unpin), answer: &RoomAnswer, bytes: &[u8]) -> io::Result<()> {
    to.write_all(&framed(answer)).await?;
    to.write_all(bytes).await?;
    to.flush().await
}

fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Answers on one connection until it ends.
pub async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, store: &dyn Store) -> io::Result<()> {
    while let Some(ask) = next_ask(&mut stream).await? {
        let answer = match &ask {
            RoomAsk::Watch => return watch(stream, store).await,
            RoomAsk::Read(room, at, length) => match found(store, room, *at, *length) {
                Ok((file, there)) => {
                    stream.write_all(&framed(&RoomAnswer::Bytes(there))).await?;
                    send_from(&mut stream, there, &file, *at).await?;
                    continue;
                }
                Err(refusal) => Err(refusal),
            },
            RoomAsk::Write(room, at, length) => {
                let file = store.open(room);
                let to = file.as_ref().map(|file| (file, *at)).map_err(Refusal::clone);
                take_into(&mut stream, *length, to).await?.map(|()| RoomAnswer::Done(0))
            }
            RoomAsk::Append(room, length) => {
                let place = store.reserve(room, *length).and_then(|at| Ok((store.open(room)?, at)));
                let to = place.as_ref().map(|(file, at)| (file, *at)).map_err(Refusal::clone);
                take_into(&mut stream, *length, to).await?.and(place).map(|(_, at)| RoomAnswer::Done(at))
            }
            ask => answer(store, ask),
        };
        let answer = answer.unwrap_or_else(|refusal| match refusal {
            Refusal::Gone => RoomAnswer::Gone,
            Refusal::Failed(why) => RoomAnswer::Failed(why),
        });
        tell(&mut stream, &answer, &[]).await?;
    }
    Ok(())
}

/// A room's file, and how many of these bytes it has.
fn found(store: &dyn Store, room: &str, at: u64, length: u64) -> Result<(File, u64), Refusal> {
    let file = store.open(room)?;
    let there = file.metadata()?.len().saturating_sub(at).min(length).min(MOST);
    Ok((file, there))
}

async fn watch(mut stream: impl AsyncRead + AsyncWrite + Unpin, store: &dyn Store) -> io::Result<()> {
    let freed = store.watch();
    tell(&mut stream, &RoomAnswer::Done(0), &[]).await?;
    let Some(mut freed) = freed else { return Ok(()) };
    loop {
        let mut nothing = [0];
        tokio::select! {
            name = freed.recv() => match name {
                Ok(name) => tell(&mut stream, &RoomAnswer::Freed(name), &[]).await?,
                // It has missed some: it is to forget all, which it does when this ends.
                Err(_) => return Ok(()),
            },
            _ = stream.read(&mut nothing) => return Ok(()),
        }
    }
}

/// What needs no bytes.
fn answer(store: &dyn Store, ask: &RoomAsk) -> Result<RoomAnswer, Refusal> {
    Ok(match ask {
        RoomAsk::Length(room) => RoomAnswer::Done(store.open(room)?.metadata()?.len()),
        RoomAsk::Reserve(room, length) => RoomAnswer::Done(store.reserve(room, *length)?),
        RoomAsk::Make(room, length) => {
            store.make(room, *length)?;
            RoomAnswer::Done(0)
        }
        RoomAsk::Remove(room) => {
            store.remove(room)?;
            RoomAnswer::Done(0)
        }
        RoomAsk::Read(..) | RoomAsk::Write(..) | RoomAsk::Append(..) | RoomAsk::Bring(..) | RoomAsk::Watch => {
            return Err(Refusal::Failed("this is for the outpost of a host".to_owned()));
        }
    })
}

/// The files of large results in a controller's folder.
#[derive(Clone, Debug)]
pub struct Files(Arc<PathBuf>);

impl Files {
    /// Those of this folder.
    pub fn of(folder: PathBuf) -> Files {
        Files(Arc::new(folder))
    }

    /// Only names that are such files' are looked at, and nothing but the last part of them.
    fn path(&self, room: &str) -> Result<PathBuf, Refusal> {
        let name = Path::new(room).file_name().and_then(|name| name.to_str());
        let name = name.filter(|name| name.starts_with(VALUE_PREFIX)).ok_or(Refusal::Gone)?;
        Ok(self.0.join(name))
    }
}

impl Store for Files {
    fn open(&self, room: &str) -> Result<File, Refusal> {
        match File::options().read(true).write(true).open(self.path(room)?) {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Refusal::Gone),
            Err(error) => Err(error.into()),
        }
    }

    fn reserve(&self, _: &str, _: u64) -> Result<u64, Refusal> {
        Err(Refusal::Failed("nothing is appended to such a file".to_owned()))
    }

    fn make(&self, room: &str, bytes: u64) -> Result<(), Refusal> {
        let path = self.path(room)?;
        let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        Ok(file.set_len(bytes)?)
    }

    fn remove(&self, room: &str) -> Result<(), Refusal> {
        // It may be gone already.
        _ = std::fs::remove_file(self.path(room)?);
        Ok(())
    }

    fn watch(&self) -> Option<broadcast::Receiver<String>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use px::link::ask_on;

    #[tokio::test(flavor = "multi_thread")]
    async fn files_of_results_are_made_written_and_read_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(folder.path().to_owned());
        std::fs::write(folder.path().join("key"), "secret").unwrap();
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let theirs = tokio::net::UnixStream::from_std(theirs).unwrap();
        let serving = tokio::spawn(async move { serve(theirs, &files).await });
        tokio::task::spawn_blocking(move || {
            let mut ours = ours;
            let room = || format!("/elsewhere/{VALUE_PREFIX}1");
            let mut into = Vec::new();
            let mut ask = |ask: RoomAsk, bytes: &[u8]| {
                into.clear();
                (ask_on(&mut ours, &ask, bytes, &mut into).unwrap(), into.clone())
            };
            assert_eq!(ask(RoomAsk::Length(room()), b"").0, RoomAnswer::Gone);
            assert_eq!(ask(RoomAsk::Make(room(), 10), b"").0, RoomAnswer::Done(0));
            assert_eq!(ask(RoomAsk::Length(room()), b"").0, RoomAnswer::Done(10));
            assert_eq!(ask(RoomAsk::Write(room(), 4, 3), b"abc").0, RoomAnswer::Done(0));
            assert_eq!(ask(RoomAsk::Read(room(), 4, 100), b""), (RoomAnswer::Bytes(6), b"abc\0\0\0".to_vec()));
            assert_eq!(ask(RoomAsk::Read(room(), 40, 100), b""), (RoomAnswer::Bytes(0), vec![]));
            assert_eq!(ask(RoomAsk::Write("key".into(), 0, 3), b"abc").0, RoomAnswer::Gone, "its bytes are taken");
            let large: Vec<u8> = (0..3 * PART + 5).map(|n| n as u8).collect();
            assert_eq!(ask(RoomAsk::Write(room(), 2, large.len() as u64), &large).0, RoomAnswer::Done(0));
            let (answer, bytes) = ask(RoomAsk::Read(room(), 1, MOST), b"");
            assert_eq!(answer, RoomAnswer::Bytes(large.len() as u64 + 1));
            assert!(bytes[0] == 0 && bytes[1..] == large);
            assert_eq!(ask(RoomAsk::Remove(room()), b"").0, RoomAnswer::Done(0));
            assert_eq!(ask(RoomAsk::Length(room()), b"").0, RoomAnswer::Gone);
            assert!(matches!(ask(RoomAsk::Append(room(), 1), b"x").0, RoomAnswer::Failed(_)));
            assert!(matches!(ask(RoomAsk::Bring(room(), 0, 1), b"").0, RoomAnswer::Failed(_)));
            for name in ["key", "../key", "/etc/passwd", ""] {
                assert_eq!(ask(RoomAsk::Read(name.into(), 0, 10), b"").0, RoomAnswer::Gone, "{name}");
                assert_eq!(ask(RoomAsk::Make(name.into(), 10), b"").0, RoomAnswer::Gone, "{name}");
            }
        })
        .await
        .unwrap();
        serving.await.unwrap().unwrap();
    }
}
