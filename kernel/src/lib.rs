//! The Jupyter kernel: sockets, magics, rendering.
