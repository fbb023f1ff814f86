//! Runs cells: a supervisor that never runs user code, and the worker process that does.
