//! Turns cells into objects, with evcxr.
