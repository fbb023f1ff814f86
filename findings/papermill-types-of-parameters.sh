#!/usr/bin/env bash
# papermill doesn't tell a language's translator which types the notebook's parameters have.
#
# Versions:  papermill 2.7.0.
# Guess:     a translator has `inspect`, which reads names and types in the cell tagged `parameters`, and `codify`, which
#            writes the cell that papermill adds. `papermill --help-notebook` tells users these types, and each run calls
#            both. So one would think that `codify` is given what `inspect` has found, and that a parameter keeps its type.
# Behaviour: what `inspect` has found in a run serves a warning of unknown names, and is dropped. `codify` is given names,
#            values and a comment, nothing else. Values of `-p` have the types that they look like.
# Seen:      the help says `version: &str`; `-p version 2` adds `let version = 2;`, and rustc refuses the next cell with
#            E0689, "can't call method `len` on ambiguous numeric type". Python's own translator does the same:
#            `version: str = "1"` becomes `version = 2`, and `len(version)` raises a TypeError.
# So:        in a language with types, who writes a translator can't write a literal as the notebook's type wants it.
#            Something before or behind papermill has to read the notebook; users of one parameter have `-r`, for a string.
#
# It needs rustc and Python 3 with venv, and fetches papermill.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip -q install papermill==2.7.0
cat > rust.py <<'PYTHON'
"""papermill with a translator for Rust, as its documentation of translators has it. It says what it is called with."""
import re

from papermill.models import Parameter
from papermill.translators import Translator, papermill_translators


class RustTranslator(Translator):
    @classmethod
    def comment(cls, text):
        return f"// {text}"

    @classmethod
    def assign(cls, name, value):
        return f"let {name} = {value};"

    @classmethod
    def codify(cls, *given, **named):
        print("codify:", given, named)
        return super().codify(*given, **named)

    @classmethod
    def inspect(cls, cell):
        print("inspect:", cell["source"])
        found = re.findall(r"let (\w+): (.+) = (.+);", cell["source"])
        return [Parameter(name, kind, value, "") for name, kind, value in found]


papermill_translators.register("rust", RustTranslator)
from papermill.cli import papermill

papermill()
PYTHON
cat > make.py <<'PYTHON'
import nbformat
from nbformat.v4 import new_code_cell, new_notebook

for language, parameters, use in [
    ("rust", 'let version: &str = "1";', "assert!(version.len() == 1);"),
    ("python", 'version: str = "1"', "assert len(version) == 1"),
]:
    tags = {"tags": ["parameters"]}
    kernel = {"kernelspec": {"name": language, "language": language, "display_name": language}}
    cells = [new_code_cell(parameters, metadata=tags), new_code_cell(use)]
    nbformat.write(new_notebook(cells=cells, metadata=kernel), f"{language}.ipynb")
PYTHON
venv/bin/python make.py
# What the notebook has, put together.
code() {
    venv/bin/python - "$1" <<'PYTHON'
import sys, nbformat
print("\n".join(cell.source for cell in nbformat.read(sys.argv[1], 4).cells))
PYTHON
}
compiled() { { echo 'fn main() {'; code "$1"; echo '}'; } > file.rs; rustc --edition 2024 file.rs 2> said; }

compiled rust.ipynb && ./file && echo "rustc takes the notebook"
venv/bin/python rust.py --help-notebook rust.ipynb > help.txt
grep -F 'version: &str (default "1")' help.txt
grep -q '^inspect: ' help.txt

venv/bin/python rust.py --prepare-only -p version 2 rust.ipynb out.ipynb > calls.txt 2>/dev/null
cat calls.txt
grep -qF 'inspect: let version: &str = "1";' calls.txt
grep -qxF "codify: ({'version': 2}, 'Parameters') {}" calls.txt
code out.ipynb | grep -xF 'let version = 2;'
if compiled out.ipynb; then echo "rustc takes it now"; exit 1; fi
grep -F "error[E0689]: can't call method \`len\` on ambiguous numeric type" said

venv/bin/papermill --prepare-only -p version 2 python.ipynb out.ipynb 2>/dev/null
code out.ipynb > file.py
grep -xF 'version = 2' file.py
if python3 file.py 2> said; then echo "Python takes it now"; exit 1; fi
grep -F "TypeError: object of type 'int' has no len()" said
echo "papermill 2.7.0 gives translators parameters without their types"
