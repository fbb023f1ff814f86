"""How fast a cell can be at best: rustc and cargo alone on the crate that evcxr writes for a simple cell.

The crate is the published evcxr's, with the very arguments that cargo passes to rustc. Only a number in it changes from
one repetition to the next, so rustc's incremental compilation helps as much as it ever does.
"""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import time

NUMBER = 4711


def tool(name):
    """The program itself: what stands on the PATH is rustup's, which takes 10 ms to find it."""
    try:
        found = subprocess.run(["rustup", "which", name], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        found = shutil.which(name)
    return found


class Crate:
    """A copy of the crate that evcxr has written into `folder` for a cell in which `NUMBER` occurs."""

    def __init__(self, folder, copy):
        self.folder = pathlib.Path(copy)
        for name in ("Cargo.toml", "Cargo.lock", "src"):
            source = pathlib.Path(folder) / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, self.folder / name)
        self._library = self.folder / "src/lib.rs"
        self._text = self._library.read_text()
        if str(NUMBER) not in self._text:
            raise RuntimeError(f"{folder} isn't the crate of the cell with {NUMBER}")
        self._changes = 0
        host = re.search(r"host: (\S+)", subprocess.check_output([tool("rustc"), "-vV"], text=True))[1]
        self._cargo = [tool("cargo"), "build", "--target", host, "--message-format=json"]
        self._environment = dict(os.environ) | {
            "CARGO_TARGET_DIR": "target",
            "RUSTC": tool("rustc"),
            "RUSTFLAGS": "-Cprefer-dynamic",
        }
        verbose = self._run([*self._cargo, "-v"]).stderr
        lines = re.findall(r"Running `(.*--crate-name ctx .*)`", verbose)
        if not lines:
            raise RuntimeError(f"cargo doesn't say how it calls rustc:\n{verbose}")
        self._rustc = shlex.split(lines[-1])

    def steps(self):
        """What to time, by name. Each has a folder of its own for what it writes, so that none spoils another's."""
        return {
            "rustc that does nothing (`rustc -V`)": lambda: self._time([tool("rustc"), "-V"]),
            "rustc up to the type check (`--emit=metadata`)": lambda: self._time(self._emitting("metadata")),
            "rustc without the linker (`--emit=obj`)": lambda: self._time(self._emitting("obj")),
            "rustc": lambda: self._time(self._emitting("dep-info,link")),
            "cargo and rustc": lambda: self._time(self._cargo),
        }

    def _emitting(self, what):
        own = self.folder / what
        own.mkdir(exist_ok=True)
        command, after = [], None
        for argument in self._rustc:
            if argument.startswith("--emit="):
                argument = f"--emit={what}"
            elif argument.startswith("incremental="):
                argument = f"incremental={own}"
            elif after == "--out-dir":
                argument = str(own)
            command.append(argument)
            after = argument
        return command

    def _time(self, command):
        self._changes += 1
        self._library.write_text(self._text.replace(str(NUMBER), str(NUMBER + self._changes)))
        started = time.perf_counter()
        self._run(command)
        return 1000 * (time.perf_counter() - started)

    def _run(self, command):
        done = subprocess.run(command, cwd=self.folder, env=self._environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{shlex.join(map(str, command))} failed:\n{done.stderr}")
        return done
