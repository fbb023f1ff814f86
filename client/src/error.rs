//! Why a cluster can't be used.

/// Why a cluster can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens, or nobody answers.
    #[error("the cluster `{name}` (process {pid}) can't be reached at {endpoint}: {why}. Is it still running?")]
    Unreachable {
        /// The cluster's name.
        name: String,
        /// The controller's process, as the connection file has it.
        pid: u32,
        /// Where it should listen.
        endpoint: String,
        /// What happened instead.
        why: String,
    },
    /// The controller refuses this client.
    #[error("{0}")]
    Refused(String),
    /// The connection was there and is gone for good.
    #[error("the cluster `{name}` is gone: {why}")]
    Lost {
        /// The cluster's name.
        name: String,
        /// What happened.
        why: String,
    },
    /// The controller is gone, and one that takes its place is waited for.
    #[error("the controller of the cluster `{name}` is gone; `chorus start --name {name}` takes its engines back")]
    Away {
        /// The cluster's name.
        name: String,
    },
    /// The controller says nothing, and isn't known to be gone.
    #[error("the controller of the cluster `{name}` (process {pid}) doesn't answer; it may be stopped or out of reach")]
    Silent {
        /// The cluster's name.
        name: String,
        /// The controller's process, on its host.
        pid: u32,
    },
    /// The connection broke before an order was answered.
    #[error("the connection to the cluster `{name}` broke while it was told; whether it has done that isn't known")]
    Doubtful {
        /// The cluster's name.
        name: String,
    },
    /// The controller lives and doesn't answer in time.
    #[error("the cluster `{name}` didn't answer within {seconds} s")]
    Slow {
        /// The cluster's name.
        name: String,
        /// How long it had.
        seconds: u64,
    },
}
