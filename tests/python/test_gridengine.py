"""Engines as Grid Engine's jobs, on the hosts of `hosts.py`. What is tried here is alike for all batch systems to which scripts
are submitted."""

import signal

import gridengine as scheduler
import hosts as lab
import processes
import pytest

pytestmark = lab.needs(lab.missing(), scheduler.missing())
hosts = lab.fixture(2)


@pytest.fixture(scope="module")
def sge(hosts):
    """4 slots on 2 hosts."""
    sge = lab.made(lambda: scheduler.GridEngine(hosts, 2))
    yield sge
    sge.close()


@pytest.fixture
def shared(hosts):
    return hosts.folder / "shared"


@pytest.fixture
def notebook(hosts, sge, shared):
    notebook = lab.Notebook(hosts, **sge.env)
    yield notebook
    notebook.close()
    nothing_is_left(sge, shared, 90)
    lab.nothing_is_left(hosts, 60)


def nothing_is_left(sge, shared, within):
    processes.wait_until("Chorus to have no job", lambda: "chorus" not in sge.say("qstat"), within)
    processes.wait_until("no invitation to be left", lambda: not (shared / "joining").exists(), within)


def busy(sge, slots):
    """Jobs of somebody else that take so many slots."""
    jobs = [sge.say("qsub -terse -b y -N other -o /dev/null -j y sleep 600") for _ in range(slots)]
    processes.wait_until("the other jobs", lambda: sge.say("qstat -s r").count("other") == slots, 20)
    return jobs


def test_a_script_is_printed_changed_and_taken(sge, shared, hosts, notebook):
    flags = f"--on sge -n 2 --shared {shared} --time 0:30:0"
    said = notebook.ok(f"%cluster start {flags} --dry-run")
    steps, script = said.split("#!/bin/sh\n")
    assert "2 times, each a job:\n  qsub -terse\n" in steps and "#$ -l h_rt=0:30:0" in script, said
    assert not sge.jobs("r") and not (shared / "joining").exists()
    file = hosts.folder / "job.sh"
    # A line of the user's own, whose variable the engine has.
    file.write_text("#!/bin/sh\n" + script.replace(": >", "export MINE=changed\n: >"))
    assert "with 2 engines" in notebook.ok(f"%cluster start {flags} --script {file}")
    assert "changed" in notebook.ok('%px std::env::var("MINE").unwrap()')
    notebook.ok("%cluster stop")
    file.write_text("#!/bin/sh\nsleep 1\n")
    status, said = notebook.run(f"%cluster start {flags} --script {file}")
    assert status == "error" and "lacks `@PROGRAM@`" in said and "--dry-run" in said, said


def test_engines_are_jobs_which_come_and_go_with_them(sge, shared, hosts, notebook):
    assert "with 4 engines" in notebook.ok(f"%cluster start --on sge -n 4 --shared {shared} --time 0:30:0")
    processes.wait_until("four jobs to be said to run", lambda: len(sge.jobs("r")) == 4, 20)
    where = 'std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap()'
    out = notebook.ok(f'%px println!("{{}}", {where})')
    assert "h1" in out and "h2" in out, out
    assert not (shared / "joining").exists()
    notebook.ok("let xs: Vec<f64> = (0..400_000).map(|i| i as f64).collect();")
    assert "79999800000" in notebook.ok("%map --sum |x: f64| x over xs")
    notebook.ok("%cluster scale 2")
    processes.wait_until("two jobs", lambda: len(sge.jobs("r")) == 2, 90)
    before = set(sge.jobs("r"))
    sge.say(f"qdel {min(before)}")

    def is_replaced():
        running = set(sge.jobs("r"))
        return len(running) == 2 and running != before

    processes.wait_until("another job in the place of one that was deleted", is_replaced, 90)
    processes.wait_until("its engine", lambda: notebook.ok("%px px::size()").count("2\n") > 0, 90)
    assert "Stopped" in notebook.ok("%cluster stop")
    nothing_is_left(sge, shared, 60)
    # `qdel` has killed an outpost at once. Its folder is for the next one on that host to remove, if there was one.
    for name in hosts.names:
        processes.wait_until("outposts to end", lambda name=name: "outpost" not in str(hosts.programs(name)), 60)
        hosts.run(name, ["sh", "-c", "rm -rf /tmp/chorus-outpost-*"])


def test_a_queue_is_told_and_who_waits_in_it_joins_late(sge, shared, notebook):
    others = busy(sge, 3)
    said = notebook.ok(f"%cluster start --on sge -n 2 --min 1 --shared {shared}")
    assert "with 1 engine" in said and "1 more" in said, said
    told = "1 more starting (1 in Grid Engine's queue)"
    processes.wait_until("the queue to be told", lambda: told in notebook.ok("%cluster"), 20)
    notebook.ok("fn twice(x: u32) -> u32 { x * 2 }")
    sge.say(f"qdel {' '.join(others)}")

    def all_know_it():
        return "4" in notebook.ok("%px -t 1 twice(2)") if "2 engines" in notebook.ok("%cluster") else False

    processes.wait_until("the second engine, with all definitions", all_know_it, 90)


def test_a_job_that_waits_goes_with_whom_it_waits_for(sge, shared, hosts, notebook):
    others = busy(sge, 4)
    notebook.begin(f"%cluster start --on sge -n 2 --shared {shared}")
    processes.wait_until("two jobs in the queue", lambda: len(sge.jobs("qw")) == 2, 30)
    hosts.run("h1", ["kill", f"-{signal.SIGKILL.value}", notebook.kernel])
    nothing_is_left(sge, shared, 60)
    sge.say(f"qdel {' '.join(others)}")
    notebook.client.kill()


def test_a_profile_says_the_flags_and_what_comes_before_engines(sge, shared, hosts):
    profiles = hosts.folder / "settings/chorus/clusters.toml"
    profiles.parent.mkdir(parents=True)
    lines = ["export FLAVOUR=sour # a comment", "cd /var/tmp"]
    profiles.write_text(f"[lab]\non = 'sge'\nn = 9\nshared = '{shared}'\nsetup = {lines}\n[bad]\nsetup = ['false']\n")
    notebook = lab.Notebook(hosts, XDG_CONFIG_HOME=str(hosts.folder / "settings"), **sge.env)
    assert "with 2 engines" in notebook.ok("%cluster start --profile lab -n 2")
    said = notebook.ok('%px (std::env::var("FLAVOUR").unwrap(), std::env::current_dir().unwrap())')
    assert said.count('("sour", "/var/tmp")') > 0, said
    notebook.ok("%cluster stop")
    status, text = notebook.run(f"%cluster start --profile bad --on sge -n 1 --shared {shared}")
    assert status == "error" and "the setup lines failed" in text, text
    status, text = notebook.run("%cluster start --profile none")
    assert status == "error" and "there is no profile `none`" in text and "`bad`, `lab`" in text, text
    notebook.close()
    nothing_is_left(sge, shared, 90)


def test_what_is_refused_or_ends_early_is_told(sge, shared, notebook):
    start = f"%cluster start --on sge -n 1 --shared {shared}"
    status, text = notebook.run(f"{start} --partition nowhere.q")
    assert status == "error" and "nowhere.q" in text and "qsub" in text, text
    status, text = notebook.run(f"{start} --command 'qsub -v XDG_RUNTIME_DIR=/proc'")
    assert status == "error" and "joined: there can't be a folder in /proc" in text, text
    status, text = notebook.run("%cluster start --on sge")
    assert status == "error" and "Grid Engine needs a number of engines" in text, text
    status, text = notebook.run('%cluster start --on sge -n 1 --shared "/tmp/a b"')
    assert status == "error" and "has a blank in it" in text, text
