"""Engines as Slurm's jobs, on the hosts of `hosts.py`."""

import os
import signal

import hosts as lab
import processes
import pytest
import slurm as scheduler

pytestmark = lab.needs(lab.missing(), scheduler.missing())
hosts = lab.fixture(2)


@pytest.fixture(scope="module")
def slurm(hosts):
    """8 cores on 2 nodes."""
    slurm = lab.made(lambda: scheduler.Slurm(hosts, 4))
    yield slurm
    slurm.close()


@pytest.fixture
def notebook(hosts, slurm):
    notebook = lab.Notebook(hosts, **slurm.env)
    yield notebook
    notebook.close()
    no_job_is_left(slurm, 30)
    lab.nothing_is_left(hosts, 20)


def no_job_is_left(slurm, within):
    processes.wait_until("Chorus to have no job", lambda: not slurm.say("squeue -h -o %j | grep chorus"), within)


def busy(slurm, cores):
    """A job of somebody else that leaves so few cores."""
    job = slurm.say(f"sbatch --parsable -N 1 -n {cores} -J other --wrap 'sleep 600' -o /dev/null")
    processes.wait_until("the other job", lambda: slurm.say(f"squeue -h -j {job} -o %t") == "R", 20)
    return job


def test_engines_are_jobs_which_come_and_go_with_them(slurm, notebook):
    assert "with 6 engines" in notebook.ok("%cluster start --on slurm -n 6 --cores 1 --time 10")
    assert len(slurm.jobs("R")) == 6
    where = 'std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap()'
    out = notebook.ok(f'%px println!("{{}}", {where})')
    assert "h1" in out and "h2" in out, out
    notebook.ok("let xs: Vec<f64> = (0..400_000).map(|i| i as f64).collect();")
    assert "79999800000" in notebook.ok("%map --sum |x: f64| x over xs")
    notebook.ok("%px let mine = vec![px::rank() as u64; 500_000];\n%pull mine")
    assert "7500000" in notebook.ok("mine.iter().flatten().sum::<u64>()")
    notebook.ok("%cluster scale 2")
    processes.wait_until("two jobs", lambda: len(slurm.jobs("R")) == 2, 30)
    before = set(slurm.jobs("R"))
    slurm.say(f"scancel {min(before)}")

    def is_replaced():
        running = set(slurm.jobs("R"))
        return len(running) == 2 and running != before

    processes.wait_until("another job in the place of one that was cancelled", is_replaced, 40)
    processes.wait_until("its engine", lambda: notebook.ok("%px px::size()").count("2\n") > 0, 40)
    assert "Stopped" in notebook.ok("%cluster stop")
    no_job_is_left(slurm, 15)


def test_an_engine_leaves_before_its_time_is_over(slurm, notebook):
    assert "with 2 engines" in notebook.ok("%cluster start --on slurm -n 2 --cores 1 --time 1")
    before = set(slurm.jobs("R"))
    assert len(before) == 2
    notebook.ok("%px let mine = px::rank();")
    said = notebook.ok("%map --sum --chunk 1 |x: u64| { std::thread::sleep(std::time::Duration::from_millis(100)); x } over 0..1150_u64")
    assert "660675" in said and "1,150 items on 4 engines" in said, said[-600:]
    log = notebook.ok("%cluster logs -n 100")
    assert "whose time is nearly over" in log and "was lost" not in log and "killed" not in log, log
    assert "its time on its host is nearly over" in said + notebook.ok("1"), said
    processes.wait_until("two other jobs", lambda: len(set(slurm.jobs("R")) - before) == 2, 60)


def test_a_queue_is_told_and_who_waits_in_it_joins_late(slurm, notebook):
    others = [busy(slurm, 4), busy(slurm, 2)]
    said = notebook.ok("%cluster start --on slurm -n 3 --min 2")
    assert "with 2 engines" in said and "1 more haven't joined" in said, said
    told = "1 more starting (1 in Slurm's queue: Resources)"
    processes.wait_until("the queue to be told", lambda: told in notebook.ok("%cluster"), 20)
    said = notebook.ok("%cluster scale 4")
    assert "has 2 engines now; 2 in Slurm's queue: " in said, said
    notebook.ok("%cluster scale 3")
    processes.wait_until("one job less in the queue", lambda: len(slurm.jobs("PD")) == 1, 20)
    notebook.ok("fn twice(x: u32) -> u32 { x * 2 }")
    for other in others:
        slurm.say(f"scancel {other}")

    def all_know_it():
        return "4" in notebook.ok("%px -t 2 twice(2)") if "3 engines" in notebook.ok("%cluster") else False

    processes.wait_until("the third engine, with all definitions", all_know_it, 60)


def test_a_job_that_waits_goes_with_whom_it_waits_for(slurm, hosts, notebook):
    others = [busy(slurm, 4), busy(slurm, 4)]
    notebook.begin("%cluster start --on slurm -n 2")
    processes.wait_until("two jobs in the queue", lambda: len(slurm.jobs("PD")) == 2, 30)
    kernel = next(pid for pid, args in hosts.programs("h1") if "kernel --connection-file" in args)
    hosts.run("h1", ["kill", f"-{signal.SIGKILL.value}", kernel])
    no_job_is_left(slurm, 20)
    for other in others:
        slurm.say(f"scancel {other}")
    os.kill(notebook.client.pid, signal.SIGKILL)


def test_what_slurm_refuses_is_told(notebook):
    status, text = notebook.run("%cluster start --on slurm -n 1 --partition nowhere")
    assert status == "error" and "invalid partition" in text and "a node of Slurm's" in text, text
    status, text = notebook.run("%cluster start --on slurm -n 1 --srun /nowhere/srun")
    assert status == "error" and "/nowhere/srun: not found" in text, text
    status, text = notebook.run("%cluster start --on slurm")
    assert status == "error" and "Slurm needs a number of engines" in text, text
