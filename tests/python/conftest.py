"""What all end-to-end tests share: where the programs are, an isolated Jupyter, and kernels that are always ended.

To run them by hand: `CHORUS=target/debug/chorus CHORUS_ENGINE=target/debug/chorus-engine python -m pytest tests/python`.
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import uuid

import pexpect
import pytest

import processes
from harness import Kernel
from test_deaths import wait_for_ranks

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Under /tmp and short: the path of an ipc socket may have 107 characters.
HOME = pathlib.Path(tempfile.mkdtemp(prefix="chorus-e2e-", dir="/tmp"))


def pytest_configure():
    for variable, program in (("CHORUS", "chorus"), ("CHORUS_ENGINE", "chorus-engine")):
        path = pathlib.Path(os.environ.get(variable, ROOT / "target/debug" / program)).resolve()
        os.environ[variable] = str(path)
    # Nothing of the user's own Jupyter is seen or changed.
    for variable in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        os.environ[variable] = str(HOME / variable.lower())
    os.environ["CHORUS_DATA_DIR"] = str(HOME / "data")
    os.environ["CHORUS_RUNTIME_DIR"] = str(HOME / "run")
    os.environ["CHORUS_CACHE_DIR"] = str(HOME / "cache")
    os.environ["JUPYTER_PATH"] = str(HOME / "prefix/share/jupyter")
    os.environ["NO_COLOR"] = "1"


    (HOME / "cache/dependencies").mkdir(mode=0o700, parents=True)


def pytest_unconfigure():
    # Compilers that wait for kernels leave when their folders are gone.
    shutil.rmtree(HOME, ignore_errors=True)


def hang_up(child):
    """Ends a program at a terminal of pexpect's, which gives a killed one a tenth of a second: a busy machine takes longer."""
    try:
        child.close(force=True)
    except pexpect.ExceptionPexpect:
        child.wait()


class Chorus:
    """The program `chorus` with a runtime folder of its own, so that it sees no cluster but the test's."""

    def __init__(self, runtime_dir):
        self.runtime_dir = pathlib.Path(runtime_dir)
        self.mark = uuid.uuid4().hex
        self.env = dict(os.environ) | {"CHORUS_RUNTIME_DIR": str(runtime_dir), processes.MARK: self.mark}

    def __call__(self, *arguments, check=True, timeout=120, env=None, cwd=None):
        command = [os.environ["CHORUS"], *map(str, arguments)]
        done = subprocess.run(
            command,
            check=False,
            env=self.env | (env or {}),
            cwd=cwd,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if check:
            assert done.returncode == 0, f"{command} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    def status(self, *arguments):
        return json.loads(self("status", *arguments, "--json").stdout)

    def once(self, *arguments):
        """What `chorus top` shows now."""
        return json.loads(self("top", *arguments, "--once", "--json").stdout)

    def wait_for_engines(self, number, *arguments, seconds=20):
        def joined():
            status = self.status(*arguments)
            return status if len(status["engines"]) == number and status["starting"] == 0 else None

        return processes.wait_until(f"a cluster of {number} engines", joined, seconds)

    def connection_file(self):
        """The one connection file in the runtime folder."""
        found = []
        for path in self.runtime_dir.rglob("*.json"):
            content = json.loads(path.read_text())
            if "engines" in content and "key" in content:
                found.append((path, content))
        assert len(found) == 1, f"one connection file expected below {self.runtime_dir}, found {found}"
        return found[0]

    def close(self):
        processes.end_all(self.mark)


@pytest.fixture
def runtime_dir():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="r", dir=HOME))
    folder.chmod(0o700)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def fresh_cache(tmp_path):
    """A folder for CHORUS_CACHE_DIR without compiled cells or compilers. What px is built to is that of all tests."""
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    (folder / "dependencies").symlink_to(HOME / "cache/dependencies")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def chorus(runtime_dir):
    program = Chorus(runtime_dir)
    yield program
    program.close()


@pytest.fixture
def lab(chorus):
    """The program, with a cluster `lab` of two engines."""
    chorus("start", "-n", "2", "--name", "lab")
    yield chorus
    chorus("stop", "lab", "--force", check=False)


@pytest.fixture
def notebook(lab, kernels):
    """A kernel that uses the cluster `lab`."""
    kernel = kernels()
    kernel.run("%cluster connect lab").ok()
    return kernel


@pytest.fixture(scope="session")
def installed():
    """The kernelspec, where the clients of this session find it."""
    program = Chorus(HOME / "run")
    program("install", "--prefix", HOME / "prefix")
    return HOME / "prefix/share/jupyter/kernels/chorus"


def start_kernel(**options):
    runtime_dir = options.pop("runtime_dir", None) or tempfile.mkdtemp(prefix="k", dir=HOME)
    return Kernel(runtime_dir=runtime_dir, **options)


class Shared:
    """A kernel that the tests of a module share; one that a test has failed with is replaced by a fresh one."""

    def __init__(self):
        self.kernel = None
        self.engines = 0

    def get(self, engines):
        if self.kernel is None:
            self.kernel, self.engines = start_kernel(), 0
        if engines and not self.engines:
            self.kernel.run(f"%cluster start -n {engines}").ok()
            self.engines = engines
        return self.kernel

    def drop(self):
        if self.kernel is not None:
            self.kernel.close()
            self.kernel = None


@pytest.fixture(scope="module")
def shared(installed):
    holder = Shared()
    yield holder
    holder.drop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed and call.when == "call":
        item.stash[FAILED] = True
    return report


FAILED = pytest.StashKey()


def lend(shared, request, engines):
    """What a test leaves unread or misplaced fails that test, not the next."""
    kernel = shared.get(engines)
    yield kernel
    if FAILED in request.node.stash:
        shared.drop()
        return
    try:
        kernel.settle()
    except BaseException:
        shared.drop()
        raise


@pytest.fixture
def kernel(shared, request):
    """The module's kernel."""
    yield from lend(shared, request, engines=0)


@pytest.fixture
def cluster(shared, request):
    """The module's kernel with four engines."""
    yield from lend(shared, request, engines=4)


@pytest.fixture
def four(cluster):
    """`cluster`, when all of its four engines are there."""
    # The first cell waits for the compiler, which may take long on a busy machine.
    cluster.run("%px px::size()")
    wait_for_ranks(cluster, 4)
    return cluster


@pytest.fixture
def own_kernel(installed):
    """A kernel for one test, for those that kill, restart or count."""
    with start_kernel() as kernel:
        yield kernel


@pytest.fixture
def kernels(installed, runtime_dir):
    """A function that starts kernels which see the same clusters as the fixture `chorus`."""
    started = []

    def start(**options):
        started.append(start_kernel(runtime_dir=runtime_dir, **options))
        return started[-1]

    yield start
    for kernel in started:
        kernel.close()
