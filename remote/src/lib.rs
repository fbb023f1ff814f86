//! A cluster on other hosts than its controller's.
//!
//! The controller opens a [`Gateway`]: one port, at which hosts that were invited connect. On each of these hosts runs an
//! [outpost], a process that starts the engines there, carries their connections to the gateway, and brings rooms
//! to this host and back. In the groups of cells, engines there have [`deputies`] here. All of it is TLS 1.3, and both ends show a certificate of the cluster's own authority.
//!
//! Neither end knows what it carries: engines and controller speak over the outpost's socket as they do over the
//! controller's own.

mod control;
pub mod deputies;
mod gateway;
mod invitation;
pub mod outpost;
pub mod rooms;
mod stream;
mod tls;

pub use control::{FromOutpost, Hello, ToOutpost};
pub use gateway::{Arrival, Gateway, GatewayConfig, Kept, rooms_socket};
pub use invitation::Invitation;
pub use stream::{receive, send};
pub use tls::{Authority, TlsError};

/// How long an engine's host goes on while it can't reach the controller.
pub const LEASE: std::time::Duration = std::time::Duration::from_secs(60);
