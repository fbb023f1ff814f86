"""Makes papermill know Rust. papermill imports this by way of an entry point, so nobody has to.

What is Rust in it is the program's own: `chorus translate-parameters` reads the cell of parameters and writes the cell that
gives them other values, with the rules of `chorus run -p`.
"""

import json
import math
import subprocess
import sys

from papermill.exceptions import PapermillException
from papermill.models import Parameter
from papermill.translators import Translator, papermill_translators

from . import program

ASK_TIMEOUT = 60.0


class RustTranslator(Translator):
    """Writes parameters in Rust."""

    @classmethod
    def codify(cls, parameters, comment="Parameters"):
        values = {name: plain(value) for name, value in parameters.items()}
        answer = ask({"source": definitions(), "comment": comment, "values": values})
        if "errors" in answer:
            raise PapermillException("\n".join(answer["errors"]))
        return answer["cell"]

    @classmethod
    def inspect(cls, parameters_cell):
        try:
            answer = ask({"source": parameters_cell["source"]})
        except (OSError, PapermillException, subprocess.SubprocessError):
            return []  # papermill wants no errors here; `codify` tells them.
        return [
            Parameter(each["name"], each["type"] or "None", each["default"] or "None", each["help"])
            for each in answer["parameters"]
        ]

    @classmethod
    def comment(cls, cmt_str):
        return "\n".join(f"// {line}".rstrip() for line in cmt_str.splitlines())

    @classmethod
    def assign(cls, name, str_val):
        return f"let {name} = {str_val};"


def ask(question):
    """Asks the program, which answers within milliseconds."""
    command = [str(program()), "translate-parameters"]
    done = subprocess.run(command, input=json.dumps(question), capture_output=True, text=True, timeout=ASK_TIMEOUT)
    if done.returncode != 0:
        raise PapermillException(f"{' '.join(command)} exited with {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def plain(value):
    """A value as JSON has it. What JSON hasn't goes as text, which the program reads where a number is wanted."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    if isinstance(value, dict):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)  # As papermill does with dates and the like.


def definitions():
    """The text of the cell tagged `parameters`.

    papermill gives a translator values and no notebook. The notebook is the argument `nb` of `parameterize_notebook`, which
    calls us; without it, values have the types of their own.
    """
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "parameterize_notebook":
            book = frame.f_locals.get("nb")
            for cell in getattr(book, "cells", []):
                if cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", []):
                    return cell.source
        frame = frame.f_back
    return ""


for name in ("rust", "chorus"):
    papermill_translators.register(name, RustTranslator)
