"""Slurm on the hosts of `hosts.py`: a controller on the first of them, and a node on each."""

import shutil
import subprocess

import processes

NEEDED = ["/usr/sbin/munged", "/usr/sbin/slurmctld", "/usr/sbin/slurmd", "srun", "squeue", "sbatch", "scancel", "sinfo"]
# Every file is in the test's folder, or in a node's own /run. Jobs are looked at without delay, and share nodes by cores.
CONFIGURATION = """
ClusterName=chorus
SlurmctldHost=h1(10.78.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile=/run/slurmd.pid
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdSpoolDir=/run/slurmd
SlurmdParameters=config_overrides
SwitchType=switch/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PropagateResourceLimits=NONE
ReturnToService=2
KillWait=3
SlurmdTimeout=10
NodeName=h[1-{count}] CPUs={cores} RealMemory=4000 State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing():
    """Why there can't be a Slurm, or None."""
    lacking = [program for program in NEEDED if not shutil.which(program)]
    return f"Slurm's tests need {', '.join(lacking)}: Debian's packages slurm-wlm and munge" if lacking else None


class Slurm:
    """`cores` on each of the hosts."""

    def __init__(self, hosts, cores):
        self.hosts, self.daemons = hosts, []
        folder = hosts.folder / "slurm"
        for made in [folder, folder / "state", folder / "munge"]:
            made.mkdir(mode=0o755)
        self.configuration = folder / "slurm.conf"
        self.configuration.write_text(CONFIGURATION.format(folder=folder, count=len(hosts.names), cores=cores))
        key = folder / "munge.key"
        key.write_bytes(open("/dev/urandom", "rb").read(1024))
        key.chmod(0o600)
        of_munge = {"socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        words = [f"--{flag}={folder}/munge/{file}" for flag, file in of_munge.items()]
        try:
            self.start("h1", ["/usr/sbin/munged", "--foreground", "--force", f"--key-file={key}", *words])
            processes.wait_until("munged", (folder / "munge/socket").exists, 20)
            self.start("h1", ["/usr/sbin/slurmctld", "-D", "-c"])
            for name in hosts.names:
                self.start(name, ["/usr/sbin/slurmd", "-D"])
            count = str(len(hosts.names))
            processes.wait_until("Slurm's nodes", lambda: self.say("sinfo -h -t idle -o %D") == count, 30)
        except BaseException:
            self.close()
            raise

    @property
    def env(self):
        return {"SLURM_CONF": str(self.configuration)}

    def start(self, name, words):
        words = ["env", f"SLURM_CONF={self.configuration}", *words]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.daemons.append(self.hosts.start(name, words, **quiet))

    def say(self, command):
        """What one of Slurm's commands prints."""
        words = ["env", f"SLURM_CONF={self.configuration}", "sh", "-c", command]
        return self.hosts.run("h1", words).stdout.strip()

    def jobs(self, state):
        """The numbers of Chorus's jobs that are in a state: `R` runs, `PD` waits."""
        listed = [line.split("|") for line in self.say("squeue -h -o '%i|%t|%j'").splitlines()]
        return [job for job, found, name in listed if found == state and name.startswith("chorus-")]

    def close(self):
        for daemon in reversed(self.daemons):
            daemon.kill()
            daemon.wait()
