"""Engines as Kubernetes' jobs. There is none here: `kubectl.py` stands in for it, on the hosts of `hosts.py`."""

import json
import os
import pathlib
import re
import sys

import hosts as lab
import kubernetes_validate
import processes
import pytest
import yaml

pytestmark = lab.needs(lab.missing())
hosts = lab.fixture(3)


@pytest.fixture
def notebook(hosts, tmp_path):
    """Two pods can run at once."""
    folder = hosts.folder / f"pods-{tmp_path.name}"
    folder.mkdir()
    kubectl = hosts.folder / "kubectl"
    stand_in = hosts.copy(pathlib.Path(__file__).with_name("kubectl.py"))
    kubectl.write_text(f'#!/bin/sh\nexec {sys.executable} {stand_in} "$@"\n')
    kubectl.chmod(0o755)
    env = {"STANDIN_FOLDER": str(folder), "STANDIN_SSH": hosts.ssh, "STANDIN_SLOTS": "h2-a,h3-a"}
    notebook = lab.Notebook(hosts, PATH=f"{hosts.folder}:{os.environ['PATH']}", **env)
    notebook.folder = folder
    yield notebook
    notebook.close()
    processes.wait_until("no job to be left", lambda: not jobs(notebook), 40)
    lab.nothing_is_left(hosts, 20)


def jobs(notebook):
    file = notebook.folder / "jobs.json"
    return json.loads(file.read_text() or "{}") if file.exists() else {}


def test_engines_are_jobs_which_come_and_go_with_them(hosts, notebook):
    start = "%cluster start --on kubernetes --image debian:bookworm -n 3 --min 2 --cores 1 --memory 1Gi"
    notebook.ok(start)
    assert len(jobs(notebook)) == 3
    told = "1 in Kubernetes' queue: Unschedulable"
    processes.wait_until("the queue to be told", lambda: told in notebook.ok("%cluster"), 60)
    where = 'std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap()'
    out = notebook.ok(f'%px println!("{{}}", {where})')
    assert sorted(re.findall(r"\bh\d\b", out)) == ["h2", "h3"], out
    assert "4950" in notebook.ok("%map --sum |x: u64| x over 0..100_u64")
    notebook.ok("%cluster scale 1")
    processes.wait_until("two jobs to be gone", lambda: len(jobs(notebook)) == 1, 40)
    assert "Stopped" in notebook.ok("%cluster stop")
    processes.wait_until("no job to be left", lambda: not jobs(notebook), 20)


def test_a_killed_kernel_leaves_no_job(hosts, notebook):
    notebook.ok("%cluster start --on kubernetes --image debian:bookworm -n 3 --min 2")
    hosts.run("h1", ["kill", "-9", notebook.kernel])
    processes.wait_until("no job to be left", lambda: not jobs(notebook), 40)
    lab.nothing_is_left(hosts, 70)


def test_what_is_printed_is_a_manifest_and_is_taken_again(hosts, notebook):
    flags = "--image 'registry/a b:1' --cores 2 --memory 512Mi --time 1:00:00"
    said = notebook.ok(f"%cluster start --dry-run -n 2 --on kubernetes {flags}")
    text = said[said.index("apiVersion") :]
    named = text.replace("@NAME@", "chorus-lab-1").replace("@CLUSTER@", "chorus-lab")
    manifest = yaml.safe_load(named)
    kubernetes_validate.validate(manifest, "1.29", strict=True)
    pod = manifest["spec"]["template"]["spec"]
    assert pod["activeDeadlineSeconds"] == 3600 and pod["containers"][0]["image"] == "registry/a b:1", pod
    file = hosts.folder / "job.yaml"
    file.write_text(text.replace("registry/a b:1", "debian"))
    assert 'image: "debian"' in notebook.ok(f"%cluster start --dry-run -n 2 --on kubernetes --script {file}")
    assert "with 1 engine" in notebook.ok(f"%cluster start -n 1 --on kubernetes --script {file}")
    status, said = notebook.run("%cluster start -n 1 --on kubernetes")
    assert status == "error", said


def test_a_pod_that_ends_at_once_is_told(hosts, notebook):
    file = hosts.folder / "job.yaml"
    said = notebook.ok("%cluster start --dry-run -n 1 --on kubernetes --image debian")
    file.write_text(said[said.index("apiVersion") :].replace('"exec sh"', '"echo no such program >&2; exit 3"'))
    status, said = notebook.run(f"%cluster start -n 1 --on kubernetes --script {file}")
    assert status == "error" and "no such program" in said, said
