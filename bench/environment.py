"""Where the benchmarks run: their virtual environments, and the machine."""

import hashlib
import os
import pathlib
import platform
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]


def enter(requirements):
    """Runs the program again inside a virtual environment that has the peers, which it makes if there is none yet."""
    texts = [path.read_bytes() for path in sorted((ROOT / "bench").glob("requirements*.txt"))]
    key = hashlib.sha256(sys.version.encode() + requirements.encode() + b"".join(texts)).hexdigest()[:16]
    folder = ROOT / "target/bench-venv" / key
    if pathlib.Path(sys.prefix).resolve() == folder.resolve():
        return
    interpreter = folder / "bin/python"
    if not (folder / "ready").exists():
        print(f"making a Python environment in {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        install = [interpreter, "-m", "pip", "install", "--quiet", "-r", ROOT / "bench" / requirements]
        subprocess.run(install, check=True)
        (folder / "ready").touch()
    os.execv(interpreter, [interpreter, *sys.argv])


def machine():
    with open("/proc/cpuinfo") as file:
        models = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return f"{os.cpu_count()} cores, {models[0] if models else platform.machine()}, Linux {platform.release()}"
