//! Connects to a cluster, submits runs and streams their events.
