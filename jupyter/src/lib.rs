//! The Jupyter wire protocol, from either side.
