//! The Jupyter wire protocol, from either side, and how cells stand in a notebook's file.
//!
//! A kernel binds [`server::KernelSockets`]; a program that drives one connects a [`client::KernelClient`]. This
//! crate carries messages: it never looks at what a cell says, keeps no state of a kernel, and knows nobody else
//! of the workspace.
//!
//! The envelope is our own, so that nothing in a header is lost (`subshell_id`) and a request that makes no sense
//! can still be answered. [`content`] says what of the crate [`jupyter_protocol`] is used, and why not the rest.

pub mod client;
pub mod connection;
pub mod content;
pub mod message;
pub mod notebook;
pub mod server;

pub use client::{Channel, ClientError, KernelClient, PendingReply};
pub use connection::{ConnectionError, ConnectionInfo, Transport};
pub use jupyter_protocol::ExecutionState;
pub use message::{Header, Message, MessageError, PROTOCOL_VERSION, Signer, random_id};
pub use server::{BindError, IoPub, KernelSockets, Receiver, Sender};
