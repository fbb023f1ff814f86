//! One message of the protocol and its frames: identities, `<IDS|MSG>`, signature, four JSON objects, buffers.
//!
//! Header and content stay JSON, so that nothing that a peer sends is lost. Whatever bytes arrive, parsing ends in
//! a message or in an error value, never in a panic.

use bytes::Bytes;
use hmac::{Hmac, Mac};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use sha2::Sha256;
use std::fmt;

/// The version of the protocol that our headers carry. 5.5 adds subshells.
pub const PROTOCOL_VERSION: &str = "5.5";

const DELIMITER: &[u8] = b"<IDS|MSG>";

/// 32 random hex digits: ids of messages, sessions and cells, and keys.
pub fn random_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// A message's header, with every field that its sender put in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Header(pub Map<String, Value>);

impl Header {
    /// A fresh header of this type in this session.
    pub fn new(msg_type: &str, session: &str) -> Header {
        let date = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now());
        let fields = [
            ("msg_id", random_id()),
            ("session", session.to_owned()),
            ("username", "chorus".to_owned()),
            ("date", date.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)),
            ("msg_type", msg_type.to_owned()),
            ("version", PROTOCOL_VERSION.to_owned()),
        ];
        Header(fields.into_iter().map(|(name, value)| (name.to_owned(), Value::String(value))).collect())
    }

    /// The message's own id; empty when a parent's header lacks it.
    pub fn msg_id(&self) -> &str {
        self.text("msg_id").unwrap_or_default()
    }

    /// Such as `execute_request`; empty when a parent's header lacks it.
    pub fn msg_type(&self) -> &str {
        self.text("msg_type").unwrap_or_default()
    }

    /// The sender's session; empty when it named none.
    pub fn session(&self) -> &str {
        self.text("session").unwrap_or_default()
    }

    /// The subshell that a request is for, `None` for the main shell.
    pub fn subshell_id(&self) -> Option<&str> {
        self.text("subshell_id")
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field)?.as_str()
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// On a ROUTER, whom it comes from or goes to; on iopub, the topic; else empty.
    pub identities: Vec<Bytes>,
    /// Its header. What [`Message::decode`] returns has at least a `msg_id` and a `msg_type`.
    pub header: Header,
    /// The header of the request that it belongs to.
    pub parent_header: Option<Header>,
    /// Metadata, a JSON object.
    pub metadata: Value,
    /// What it says, a JSON object.
    pub content: Value,
    /// Binary data, as widgets use it.
    pub buffers: Vec<Bytes>,
}

/// Why frames are no message.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// There is no `<IDS|MSG>`.
    #[error("a message of {0} frames lacks the delimiter <IDS|MSG>")]
    Delimiter(usize),
    /// Fewer than five frames follow the delimiter.
    #[error("{0} frames follow <IDS|MSG>, a message needs a signature and four JSON objects")]
    Short(usize),
    /// The sender doesn't hold the key, or the bytes were changed on the way.
    #[error("the signature is wrong")]
    Signature,
    /// A part isn't a JSON object.
    #[error("the {part} isn't a JSON object: {source}")]
    Json {
        /// `header`, `parent_header` or `metadata`.
        part: &'static str,
        /// Where it stops making sense.
        source: serde_json::Error,
    },
    /// The header lacks a field without which the message can't be handled.
    #[error("the header has no {0}")]
    Field(&'static str),
    /// All is right but the content, so the request can still be answered with an error.
    #[error("the content of a {} isn't a JSON object: {source}", message.msg_type())]
    Content {
        /// The message, with `null` for its content.
        message: Box<Message>,
        /// Where it stops making sense.
        source: serde_json::Error,
    },
}

impl Message {
    /// A request, or any message that belongs to no other.
    pub fn new(msg_type: &str, session: &str, content: Value) -> Message {
        Message {
            identities: Vec::new(),
            header: Header::new(msg_type, session),
            parent_header: None,
            metadata: json!({}),
            content,
            buffers: Vec::new(),
        }
    }

    /// The answer to `request`, to be sent on the socket that it came from.
    pub fn reply_to(request: &Message, msg_type: &str, content: Value) -> Message {
        Message {
            identities: request.identities.clone(),
            parent_header: Some(request.header.clone()),
            ..Message::new(msg_type, request.session(), content)
        }
    }

    /// A message for iopub: its topic is its type.
    pub fn publication(parent: Option<&Header>, session: &str, msg_type: &str, content: Value) -> Message {
        Message {
            identities: vec![Bytes::copy_from_slice(msg_type.as_bytes())],
            parent_header: parent.cloned(),
            ..Message::new(msg_type, session, content)
        }
    }

    /// Such as `execute_request`.
    pub fn msg_type(&self) -> &str {
        self.header.msg_type()
    }

    /// The message's own id.
    pub fn msg_id(&self) -> &str {
        self.header.msg_id()
    }

    /// The sender's session.
    pub fn session(&self) -> &str {
        self.header.session()
    }

    /// The subshell that a request is for.
    pub fn subshell_id(&self) -> Option<&str> {
        self.header.subshell_id()
    }

    /// The id of the request that it belongs to.
    pub fn parent_id(&self) -> Option<&str> {
        self.parent_header.as_ref().map(Header::msg_id)
    }

    /// The content as one of the types of [`crate::content`].
    pub fn content_as<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&self.content)
    }

    /// How many bytes it has in all its frames but the signature.
    pub fn size(&self) -> usize {
        self.encode(&Signer(None)).iter().map(Bytes::len).sum()
    }

    /// The frames, signed.
    pub fn encode(&self, signer: &Signer) -> Vec<Bytes> {
        let empty = Map::new();
        let parent = self.parent_header.as_ref().map_or(&empty, |header| &header.0);
        let parts = [to_bytes(&self.header.0), to_bytes(parent), to_bytes(&self.metadata), to_bytes(&self.content)];
        let mut frames = Vec::with_capacity(self.identities.len() + 6 + self.buffers.len());
        frames.extend(self.identities.iter().cloned());
        frames.push(Bytes::from_static(DELIMITER));
        frames.push(Bytes::from(signer.sign(&parts)));
        frames.extend(parts);
        frames.extend(self.buffers.iter().cloned());
        frames
    }

    /// Checks the signature of these frames and reads them.
    pub fn decode(frames: &[Bytes], signer: &Signer) -> Result<Message, MessageError> {
        let count = frames.len();
        let at = frames.iter().position(|frame| frame == DELIMITER).ok_or(MessageError::Delimiter(count))?;
        let (identities, rest) = frames.split_at(at);
        let Some(([_, signature], [header, parent_header, metadata, content], buffers)) = rest
            .split_first_chunk::<2>()
            .and_then(|(head, rest)| rest.split_first_chunk::<4>().map(|(parts, buffers)| (head, parts, buffers)))
        else {
            return Err(MessageError::Short(count - at - 1));
        };
        signer.check(signature, &[header, parent_header, metadata, content])?;

        let header = Header(object("header", header)?);
        for field in ["msg_id", "msg_type"] {
            header.text(field).ok_or(MessageError::Field(field))?;
        }
        let parent_header = Some(object("parent_header", parent_header)?).filter(|fields| !fields.is_empty());
        let message = Message {
            identities: identities.to_vec(),
            header,
            parent_header: parent_header.map(Header),
            metadata: Value::Object(object("metadata", metadata)?),
            content: Value::Null,
            buffers: buffers.to_vec(),
        };
        match serde_json::from_slice::<Map<String, Value>>(content) {
            Ok(content) => Ok(Message { content: Value::Object(content), ..message }),
            Err(source) => Err(MessageError::Content { message: Box::new(message), source }),
        }
    }
}

fn object(part: &'static str, bytes: &[u8]) -> Result<Map<String, Value>, MessageError> {
    serde_json::from_slice::<Option<Map<String, Value>>>(bytes)
        .map(Option::unwrap_or_default)
        .map_err(|source| MessageError::Json { part, source })
}

fn to_bytes(value: &impl Serialize) -> Bytes {
    // A `Value` has string keys and finite numbers only, so this can't fail; `{}` stands in for the impossible.
    serde_json::to_vec(value).map_or(Bytes::from_static(b"{}"), Bytes::from)
}

/// Signs and checks messages with a connection's key.
#[derive(Clone)]
pub struct Signer(Option<Hmac<Sha256>>);

impl Signer {
    /// For this key; an empty one means that messages aren't signed.
    pub fn new(key: &str) -> Signer {
        // HMAC takes keys of any length.
        Signer(Some(key).filter(|key| !key.is_empty()).and_then(|key| Hmac::new_from_slice(key.as_bytes()).ok()))
    }

    fn sign(&self, parts: &[Bytes; 4]) -> String {
        let Some(mac) = &self.0 else { return String::new() };
        let mut mac = mac.clone();
        parts.iter().for_each(|part| mac.update(part));
        hex::encode(mac.finalize().into_bytes())
    }

    fn check(&self, signature: &[u8], parts: &[&Bytes; 4]) -> Result<(), MessageError> {
        let Some(mac) = &self.0 else { return Ok(()) };
        let mut mac = mac.clone();
        parts.iter().for_each(|part| mac.update(part));
        let signature = hex::decode(signature).map_err(|_| MessageError::Signature)?;
        // Compares in constant time.
        mac.verify_slice(&signature).map_err(|_| MessageError::Signature)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Signer(secret)" } else { "Signer(unsigned)" })
    }
}

#[cfg(test)]
mod tests;
