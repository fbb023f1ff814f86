"""What papermill finds by the entry point. It is a module of its own, so that `chorus_rust.papermill` can be imported first."""

from papermill.engines import NBClientEngine

from . import papermill  # noqa: F401: it registers the translator.


class ChorusEngine(NBClientEngine):
    """papermill's own engine: an entry point has to name one, and what counts is that this module is imported."""
