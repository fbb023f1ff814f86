//! What a publisher needs of ZMTP 3.0 (<https://rfc.zeromq.org/spec/23/>), without authentication.

use bytes::{BufMut, Bytes, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// The longest frame that a subscriber may send; what comes from a port comes from anybody.
const FRAME: u64 = 8 << 10;

const READY: &[u8] = b"\x04\x1a\x05READY\x0bSocket-Type\0\0\0\x04XPUB";

/// A frame of a subscriber.
#[derive(Debug)]
pub struct Frame {
    pub is_command: bool,
    pub body: Vec<u8>,
}

/// Greets a peer, and hears that it is a subscriber.
pub async fn greet(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    let mut ours = [0; 64];
    (ours[0], ours[9], ours[10]) = (0xff, 0x7f, 3);
    ours[12..16].copy_from_slice(b"NULL");
    stream.write_all(&ours).await?;
    let mut theirs = [0; 64];
    // As much as any version sends, before one waits for more: it may be no ZeroMQ at all.
    stream.read_exact(&mut theirs[..10]).await?;
    if (theirs[0], theirs[9] & 1) != (0xff, 1) {
        return Err(invalid("not a ZeroMQ peer"));
    }
    stream.read_exact(&mut theirs[10..]).await?;
    if theirs[10] < 3 || theirs[12..32] != ours[12..32] {
        return Err(invalid("a peer that wants another version or to be authenticated"));
    }
    stream.write_all(READY).await?;
    let ready = read(stream).await?;
    let is_subscriber = |kind: &[u8]| ready.body.windows(kind.len()).any(|part| part == kind);
    match ready.is_command && (is_subscriber(b"\0\0\0\x03SUB") || is_subscriber(b"\0\0\0\x04XSUB")) {
        true => Ok(()),
        false => Err(invalid("not a subscriber")),
    }
}

/// Reads a frame.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Frame> {
    let flags = stream.read_u8().await?;
    let length = if flags & LONG == 0 { stream.read_u8().await?.into() } else { stream.read_u64().await? };
    if length > FRAME {
        return Err(invalid("a frame that is too long"));
    }
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body).await?;
    Ok(Frame { is_command: flags & COMMAND != 0, body })
}

/// A message as it goes out.
pub fn encode(parts: &[Bytes]) -> Bytes {
    let mut message = BytesMut::with_capacity(parts.iter().map(|part| part.len() + 9).sum());
    for (number, part) in parts.iter().enumerate() {
        let more = if number + 1 < parts.len() { MORE } else { 0 };
        match u8::try_from(part.len()) {
            Ok(length) => message.put_slice(&[more, length]),
            Err(_) => {
                message.put_u8(more | LONG);
                message.put_u64(part.len() as u64);
            }
        }
        message.put_slice(part);
    }
    message.freeze()
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
