//! Routes runs to engines and their events back; starts the engines of this host.
