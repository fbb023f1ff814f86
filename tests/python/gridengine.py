"""Grid Engine on the hosts of `hosts.py`: a master on the first of them, and slots on each."""

import pathlib
import shutil
import subprocess

import processes

PROGRAMS = pathlib.Path("/usr/lib/gridengine")
MASTER, EXECUTION = "/usr/sbin/sge_qmaster", "/usr/sbin/sge_execd"
SHARE = pathlib.Path("/usr/share/gridengine")
BOOTSTRAP = """
admin_user root
default_domain none
ignore_fqdn true
spooling_method berkeleydb
spooling_lib libspoolb
spooling_params {folder}/spool/db
binary_path {folder}/root/bin
qmaster_spool_dir {folder}/spool/master
security_mode none
listener_threads 2
worker_threads 2
scheduler_threads 1
"""

# A script's shell is the one that it names.
QUEUE = {"load_thresholds": "NONE", "pe_list": "NONE", "shell_start_mode": "unix_behavior"}
# The queue is looked at without delay.
SCHEDULE = {"schedule_interval": "0:0:1", "flush_submit_sec": "1", "flush_finish_sec": "1"}


def missing():
    """Why there can't be a Grid Engine, or None."""
    needed = [MASTER, EXECUTION, PROGRAMS / "spoolinit", "qsub", "qstat", "qdel"]
    lacking = [str(program) for program in needed if not shutil.which(program)]
    packages = "Debian's packages gridengine-master, gridengine-exec and gridengine-client"
    return f"Grid Engine's tests need {', '.join(lacking)}: {packages}" if lacking else None


class GridEngine:
    """`slots` on each of the hosts."""

    def __init__(self, hosts, slots):
        self.hosts, self.daemons = hosts, []
        self.folder = hosts.folder / "sge"
        root = self.folder / "root"
        common = root / "default/common"
        for made in [common, self.folder / "spool/master", self.folder / "spool/execution", self.folder / "spool/db"]:
            made.mkdir(mode=0o755, parents=True)
        for linked in ["bin", "lib", "utilbin"]:
            (root / linked).symlink_to(f"/var/lib/gridengine/{linked}")
        (root / "util").symlink_to(SHARE / "util")
        (common / "bootstrap").write_text(BOOTSTRAP.format(folder=self.folder).lstrip())
        (common / "act_qmaster").write_text("h1\n")
        try:
            self.spool()
            self.start("h1", MASTER)
            processes.wait_until("Grid Engine's master", lambda: self.say("qconf -sh").startswith("h1"), 20)
            names = " ".join(hosts.names)
            for name in hosts.names:
                self.say(f"qconf -ah {name}; qconf -as {name}")
                self.start(name, EXECUTION)
            self.change("qconf -sq", "qconf -Aq", {"qname": "all.q", "hostlist": names, "slots": str(slots)} | QUEUE)
            self.change("qconf -ssconf", "qconf -Msconf", SCHEDULE)
            processes.wait_until("Grid Engine's hosts", lambda: self.heard_of() == len(hosts.names), 30)
        except BaseException:
            self.close()
            raise

    def heard_of(self):
        """How many hosts have told what they have: until then, `qhost` shows no size of their memory."""
        return sum("lx-amd64" in line and "G " in line for line in self.say("qhost").splitlines())

    @property
    def env(self):
        ports = {"SGE_QMASTER_PORT": "6444", "SGE_EXECD_PORT": "6445"}
        return {"SGE_ROOT": str(self.folder / "root"), "SGE_CELL": "default"} | ports

    def spool(self):
        """Writes the configuration, in which root may have jobs, too."""
        text = (SHARE / "default-configuration").read_text()
        settings = {"execd_spool_dir": self.folder / "spool/execution", "min_uid": 0, "min_gid": 0}
        # Hosts tell this often what has become of their jobs.
        settings["load_report_time"] = "00:00:02"
        configuration = self.folder / "configuration"
        configuration.write_text(changed(text, settings))
        defaults = f"{PROGRAMS}/spooldefaults"
        resources = SHARE / "util/resources"
        self.say(
            f"{PROGRAMS}/spoolinit berkeleydb libspoolb {self.folder}/spool/db init"
            f" && {defaults} configuration {configuration} && {defaults} complexes {resources}/centry"
            f" && {defaults} usersets {resources}/usersets && {defaults} managers root"
        )

    def change(self, show, take, settings):
        """Has something be as one command shows it but for these settings."""
        file = self.folder / "change"
        file.write_text(changed(self.say(show), settings))
        self.say(f"{take} {file}")

    def words(self, *words):
        return ["env", *[f"{name}={value}" for name, value in self.env.items()], *words]

    def start(self, name, program):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        # It stays in the foreground.
        self.daemons.append(self.hosts.start(name, self.words("SGE_ND=1", program), **quiet))

    def say(self, command):
        """What one of Grid Engine's commands prints."""
        return self.hosts.run("h1", self.words("sh", "-c", command)).stdout.strip()

    def jobs(self, state):
        """The numbers of Chorus's jobs that are in a state: `r` runs, `qw` waits."""
        lines = [line.split() for line in self.say("qstat").splitlines()[2:]]
        return [words[0] for words in lines if words[4] == state and words[2].startswith("chorus")]

    def close(self):
        for daemon in reversed(self.daemons):
            daemon.kill()
            daemon.wait()


def changed(text, settings):
    """The lines of a configuration, each a name and its value, with other values."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    split = [line.split(None, 1) for line in lines]
    return "".join(f"{line[0]} {settings.get(line[0], line[1] if len(line) > 1 else '')}\n" for line in split)
