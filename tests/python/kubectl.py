#!/usr/bin/env python3
"""Stands in for `kubectl`, where there is no Kubernetes: what `chorus` asks of it, with hosts of `hosts.py` as nodes.

A manifest must be what Kubernetes takes, to which kubernetes-validate sees. A pod's command runs on its node by ssh. All else is
in a folder of files: one for each job, locked by whoever changes it.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

FOLDER = pathlib.Path(os.environ["STANDIN_FOLDER"])
SSH = os.environ["STANDIN_SSH"].split()
# Where a pod may run.
SLOTS = os.environ["STANDIN_SLOTS"].split(",")


@contextlib.contextmanager
def jobs():
    """All jobs, by name. What is changed is kept."""
    with (FOLDER / "jobs.json").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        found = json.loads(file.read() or "{}")
        taken = [job["slot"] for job in found.values() if job["slot"] and not job["ended"]]
        yield found
        for job in found.values():
            free = [slot for slot in SLOTS if slot not in taken]
            if not job["slot"] and free:
                job["slot"] = free[0]
                taken.append(free[0])
        file.truncate(0)
        file.write(json.dumps(found))


def create():
    # It takes a while, and of all commands only this one needs it.
    import kubernetes_validate
    import yaml

    manifest = yaml.safe_load(sys.stdin.read())
    kubernetes_validate.validate(manifest, "1.29", strict=True)
    assert manifest["kind"] == "Job", manifest
    pod = manifest["spec"]["template"]
    container = pod["spec"]["containers"][0]
    assert container["stdin"] and container["stdinOnce"], container
    with jobs() as all_jobs:
        name = manifest["metadata"]["name"]
        assert name not in all_jobs, f"jobs {name} already exists"
        labels = pod["metadata"]["labels"]
        all_jobs[name] = {"labels": labels, "command": container["command"], "slot": None, "ended": None, "pid": None}


def wait(label):
    key, name = label.split("=")
    assert key == "job-name"
    for _ in range(20):
        with jobs() as all_jobs:
            if name not in all_jobs:
                sys.exit(f"error: no matching resources found of {name}")
            if all_jobs[name]["slot"]:
                return
        time.sleep(0.1)
    sys.exit("error: timed out waiting for the condition")


def attach(name):
    with jobs() as all_jobs:
        job = all_jobs[name]
        words = " ".join("'" + word.replace("'", "'\\''") + "'" for word in job["command"])
        pod = subprocess.Popen([*SSH, job["slot"].split("-")[0], f"env XDG_CACHE_HOME={FOLDER}/cache " + words])
        job["pid"] = pod.pid
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    status = pod.wait()
    with jobs() as all_jobs:
        if name in all_jobs:
            all_jobs[name]["ended"] = "failed" if status else "succeeded"


def get(words):
    with jobs() as all_jobs:
        pass
    if words[0] == "job":
        job = all_jobs.get(words[1])
        if job:
            print(f"{words[1]}/{'1' if job['ended'] else ''}", end="")
    else:
        key, value = words[words.index("-l") + 1].split("=")
        for job in all_jobs.values():
            if job["labels"].get(key) == value and not job["slot"]:
                print("|Unschedulable")


def delete(name):
    with jobs() as all_jobs:
        job = all_jobs.pop(name, None)
    if job and job["pid"] and not job["ended"]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(job["pid"], signal.SIGKILL)


def main():
    what, *words = sys.argv[1:]
    if what == "create":
        create()
    elif what == "wait":
        wait(words[words.index("-l") + 1])
    elif what == "attach":
        attach(words[-1].removeprefix("job/"))
    elif what == "get":
        get(words)
    elif what == "delete":
        delete(words[1])
    else:
        sys.exit(f"error: unknown command {what}")


if __name__ == "__main__":
    main()
