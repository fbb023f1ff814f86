"""Several hosts on this machine: network, mount, host name, IPC and process namespaces for each, with an sshd in it.

A host has its own `/tmp`, `/run` and `/dev/shm`, and sees the other files of this machine. Nothing leaves the namespaces:
the switch between the hosts is in one of its own. All of it needs root, and is gone when the test is over.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import harness
import processes
import pytest

NEEDED = ["ip", "nsenter", "unshare", "setpriv", "ssh", "ssh-keygen", "/usr/sbin/sshd"]
PROGRAMS = ["CHORUS", "CHORUS_ENGINE"]
INIT = """
hostname {name} && mount -t proc proc /proc && mkdir -p {ready}.d && mount --rbind /sys/fs/cgroup {ready}.d
mount -t sysfs sysfs /sys && mount --move {ready}.d /sys/fs/cgroup
for folder in /tmp /run /dev/shm; do mount -t tmpfs -o mode=1777 tmpfs $folder; done
mkdir -p /run/sshd && mount --bind {hosts} /etc/hosts && touch {ready}
trap '' CHLD; exec sleep infinity
"""
SSHD = """
Port 22
ListenAddress {address}
HostKey {folder}/key-{name}
AuthorizedKeysFile {folder}/authorized
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PidFile none
PermitRootLogin prohibit-password
"""
SSH = """
Host h*
  User root
  IdentityFile {folder}/id
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {folder}/known
  StrictHostKeyChecking yes
  LogLevel ERROR
"""


def missing():
    """Why there can't be hosts, or None."""
    if os.geteuid() != 0:
        return "hosts on one machine are namespaces, which root makes"
    lacking = [program for program in NEEDED if not shutil.which(program)]
    if lacking:
        return f"hosts on one machine need {', '.join(lacking)}: Debian's packages iproute2 and openssh-server"
    made = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True, text=True)
    return f"namespaces can't be made here: {made.stderr.strip()}" if made.returncode else None


def made(make):
    """What `make()` makes; where a machine doesn't allow it, the tests are skipped, and say why."""
    try:
        return make()
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", None) or ""
        return pytest.skip(f"it can't be made here: {error} {told}".strip())


def needs(*lacking):
    """The mark of tests that are skipped where something is lacking: each is why, or None."""
    why = next((why for why in lacking if why), None)
    return pytest.mark.skipif(why is not None, reason=str(why))


def fixture(count):
    """A module's fixture of so many hosts."""

    @pytest.fixture(scope="module")
    def hosts():
        hosts = made(lambda: Hosts(count))
        yield hosts
        hosts.close()

    return hosts


def notebook_fixture():
    """A notebook on the first of these hosts. Behind each test the hosts are connected again, and nothing is left there."""

    @pytest.fixture
    def notebook(hosts):
        notebook = Notebook(hosts)
        yield notebook
        for host in hosts.names:
            hosts.link(host, "up")
        notebook.close()
        nothing_is_left(hosts, 40)

    return notebook


def command(*words):
    subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True, timeout=30)


class Hosts:
    """Hosts `h1` to `h<count>`. `sshd` is more for the configuration of their sshds."""

    def __init__(self, count, sshd=""):
        self.sshd = SSHD + sshd
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="chorus-hosts-", dir="/var/tmp"))
        self.names = [f"h{number}" for number in range(1, count + 1)]
        self.mark = f"c{os.getpid() % 100000}"
        self.inits, self.pids, self.daemons = {}, {}, []
        try:
            self.connect()
            self.names_and_inits()
            self.sshds()
        except BaseException:
            self.close()
            raise

    def net(self, name):
        return f"{self.mark}-{name}"

    def connect(self):
        switch = self.net("sw")
        command("ip", "netns", "add", switch)
        command("ip", "-n", switch, "link", "add", "br0", "type", "bridge")
        command("ip", "-n", switch, "link", "set", "br0", "up")
        for number, name in enumerate(self.names, 1):
            net = self.net(name)
            command("ip", "netns", "add", net)
            command("ip", "-n", net, "link", "add", "eth0", "type", "veth", "peer", "name", name, "netns", switch)
            command("ip", "-n", switch, "link", "set", name, "master", "br0", "up")
            command("ip", "-n", net, "addr", "add", f"10.78.0.{number}/24", "dev", "eth0")
            for link in ["lo", "eth0"]:
                command("ip", "-n", net, "link", "set", link, "up")

    def names_and_inits(self):
        hosts = self.folder / "hosts"
        lines = [f"10.78.0.{number} {name}" for number, name in enumerate(self.names, 1)]
        hosts.write_text("\n".join(["127.0.0.1 localhost", *lines, ""]))
        for name in self.names:
            script = INIT.format(name=name, hosts=hosts, ready=self.folder / f"ready-{name}")
            spaces = ["--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--propagation", "private"]
            outer = ["nsenter", f"--net=/var/run/netns/{self.net(name)}", "unshare", *spaces]
            self.inits[name] = subprocess.Popen([*outer, "sh", "-c", script], stdin=subprocess.DEVNULL)
        for name, init in self.inits.items():
            ready = self.folder / f"ready-{name}"
            processes.wait_until(f"host {name}", ready.exists, 20)
            children = pathlib.Path(f"/proc/{init.pid}/task/{init.pid}/children")
            self.pids[name] = int(children.read_text().split()[0])

    def sshds(self):
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f"]
        command(*keygen, self.folder / "id")
        shutil.copy(self.folder / "id.pub", self.folder / "authorized")
        known = []
        for number, name in enumerate(self.names, 1):
            command(*keygen, self.folder / f"key-{name}")
            public = (self.folder / f"key-{name}.pub").read_text().split()
            known.append(f"{name} {public[0]} {public[1]}\n")
            config = self.folder / f"sshd-{name}"
            config.write_text(self.sshd.format(address=f"10.78.0.{number}", folder=self.folder, name=name))
            self.daemons.append(self.start(name, ["/usr/sbin/sshd", "-D", "-f", str(config)]))
        (self.folder / "known").write_text("".join(known))
        (self.folder / "config").write_text(SSH.format(folder=self.folder))

        def answers(name):
            tried = self.run("h1", [*self.ssh.split(), name, "true"])
            return tried.returncode == 0

        for name in self.names[1:]:
            processes.wait_until(f"the sshd of {name}", lambda name=name: answers(name), 20)

    def copy(self, file):
        """A file that lies where all hosts see it."""
        copy = self.folder / pathlib.Path(file).name
        if not copy.exists():
            shutil.copy2(file, copy)
        return copy

    @property
    def ssh(self):
        """The command that reaches other hosts from a host."""
        return f"ssh -F {self.folder}/config"

    def on(self, name, words):
        spaces = ["--mount", "--uts", "--ipc", "--pid", "--net", "--wd=/"]
        return ["nsenter", "-t", str(self.pids[name]), *spaces, "--", "setpriv", "--pdeathsig", "KILL", *words]

    def start(self, name, words, **more):
        more = {"stdin": subprocess.DEVNULL} | more
        return subprocess.Popen(self.on(name, words), **more)

    def run(self, name, words):
        words = self.on(name, [str(word) for word in words])
        return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)

    def link(self, name, state):
        """Plugs a host's cable in (`up`) or out (`down`)."""
        command("ip", "-n", self.net("sw"), "link", "set", name, state)

    def programs(self, name):
        """Process ids on a host and what they run, of Chorus."""
        listed = self.run(name, ["ps", "-e", "-ww", "-o", "pid=,args="]).stdout.splitlines()
        # This Python may lie in a folder that is called so.
        words = [line.replace(sys.prefix, "").split(None, 1) for line in listed]
        others = ["sshd", "ps -e", "<defunct>"]
        return [(int(pid), args) for pid, args in words if "chorus" in args and not any(it in args for it in others)]

    def left(self, name):
        """What Chorus has on a host: processes and files."""
        files = self.run(name, ["find", "/tmp", "/run", "/dev/shm", "-name", "*chorus*"]).stdout.split()
        return [args for _, args in self.programs(name)] + files

    def close(self):
        for process in [*self.daemons, *self.inits.values()]:
            process.kill()
            process.wait()
        for name in ["sw", *self.names]:
            subprocess.run(["ip", "netns", "delete", self.net(name)], capture_output=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def maps_and_copies(notebook):
    """What four engines make of a notebook's `Vec`, wherever they are. It and two results stay, as `xs`, `ys` and `zs`."""
    notebook.ok("let xs: Vec<f64> = (0..400_000).map(|i| i as f64).collect();")
    assert "159999600000" in notebook.ok("%map -o ys |x: f64| x * 2.0 over xs\nys.iter().sum::<f64>()")
    assert "399999!" in notebook.ok('%map -o zs |x: f64| format!("{x}!") over xs\nzs[399_999].clone()')
    notebook.ok("%push xs")
    assert "Out[0-3" in notebook.ok("%px xs.iter().sum::<f64>()")
    notebook.ok("%map --keep -o held |x: u64| x over 0..1000_u64")
    assert "499500" in notebook.ok("%map --sum |x: u64| x over each held")


def nothing_is_left(hosts, within, names=None):
    """Waits until Chorus has neither processes nor files on these hosts, all but the notebook's when none are named."""
    for name in names or hosts.names[1:]:
        try:
            processes.wait_until(f"nothing to be left on {name}", lambda name=name: not hosts.left(name), within)
        except AssertionError:
            raise AssertionError(f"on {name} is left after {within} s: {hosts.left(name)}") from None


class Notebook:
    """A kernel on a host, and a client beside it: `hosts_client.py`."""

    def __init__(self, hosts, name="h1", **more):
        env = dict(os.environ) | more | {variable: str(hosts.copy(os.environ[variable])) for variable in PROGRAMS}
        env |= {"CHORUS_RUNTIME_DIR": "/tmp/chorus-run", "XDG_RUNTIME_DIR": ""}
        env |= {"CHORUS_CACHE_DIR": str(hosts.folder / "cache"), "CHORUS_DATA_DIR": "/tmp/chorus-data"}
        words = [sys.executable, str(hosts.copy(pathlib.Path(__file__).with_name("hosts_client.py"))), env["CHORUS"]]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": env}
        self.hosts, self.name, self.client = hosts, name, hosts.start(name, words, **pipes)
        self.kernel = self.read(60)["pid"]

    def read(self, limit):
        """The client's next line; it has deadlines of its own."""
        line = self.client.stdout.readline()
        assert line, f"the client on {self.name} has ended"
        return json.loads(line)

    def send(self, **what):
        self.client.stdin.write(json.dumps(what) + "\n")
        self.client.stdin.flush()

    def begin(self, code, interrupt=None):
        """With `interrupt`, a text and how often, the cell is interrupted when it has printed that."""
        self.send(run=code, interrupt=interrupt)

    def end(self):
        """The status and the text of the cell that was begun, with its error."""
        reply = self.read(300)
        self.shown = reply.get("shown", [])
        return reply["status"], harness.plain(reply["text"])

    def run(self, code):
        self.begin(code)
        return self.end()

    def ok(self, code):
        status, text = self.run(code)
        assert status == "ok", text
        return text

    def close(self):
        self.client.stdin.close()
        try:
            self.client.wait(30)
        except subprocess.TimeoutExpired:
            self.client.kill()
