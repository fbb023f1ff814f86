"""Makes jupytext comment magics in `.rs` files, as it does in Python's, so that Rust's tools can read the files.

jupytext knows of Rust's notebooks only the lines that begin with `:`. It imports no plug-ins, but its configuration may be
Python: write `import chorus_rust.jupytext` into `.jupytext.py` beside the notebooks, or in the home folder.
"""

import re

from jupytext import magics

# jupytext asks this of a line that may be commented already, so that a comment which looks like a magic comes back as
# it was. `//!` is documentation, and an indented `!` goes on with an expression.
magics._MAGIC_RE["rust"] = re.compile(r"^\s*(// |//)*(:[a-zA-Z]|%%?[a-zA-Z])|^(// )*![\w\s./~$\"']")
