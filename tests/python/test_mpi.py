"""Engines as processes of MPI, on the hosts of `hosts.py`."""

import shutil

import hosts as lab
import processes
import pytest

pytestmark = lab.needs(lab.missing(), None if shutil.which("mpirun") else "MPI's tests need mpirun: Debian's package openmpi-bin")
hosts = lab.fixture(3)


@pytest.fixture
def shared(hosts):
    return hosts.folder / "shared"


@pytest.fixture
def notebook(hosts, shared):
    notebook = lab.Notebook(hosts)
    yield notebook
    notebook.close()
    lab.nothing_is_left(hosts, 60)
    processes.wait_until("no invitation to be left", lambda: not (shared / "joining").exists(), 60)


def start(hosts, shared, engines, where="h2:4,h3:4"):
    agent = f"-mca plm_rsh_agent '{hosts.ssh}' -mca btl_tcp_if_include eth0 -mca oob_tcp_if_include eth0"
    command = f'mpirun --allow-run-as-root --host {where} --map-by node {agent}'
    return f'%cluster start --on mpi -n {engines} --shared {shared} --command "{command}"'


def test_engines_are_ranks_of_one_program(hosts, shared, notebook):
    assert "with 4 engines" in notebook.ok(start(hosts, shared, 4))
    where = 'std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap()'
    out = notebook.ok(f'%px println!("{{}}", {where})')
    assert out.count("h2") == 2 and out.count("h3") == 2, out
    sums = notebook.ok('%px println!("sum {}", px::allreduce(vec![px::rank(); 300_000], px::sum)[9]);')
    assert sums.count("sum 6") == 4, sums
    launched = [args for _, args in hosts.programs("h1") if args.startswith("mpirun")]
    assert len(launched) == 1, launched
    notebook.ok("let xs: Vec<f64> = (0..400_000).map(|i| i as f64).collect();")
    assert "79999800000" in notebook.ok("%map --sum |x: f64| x over xs")
    assert "has 5 engines now" in notebook.ok("%cluster scale 5")
    [outpost, *_] = [pid for pid, args in hosts.programs("h2") if args.startswith("/") and args.endswith(" outpost")]
    hosts.run("h2", ["kill", "-9", str(outpost)])

    def all_are_back():
        return notebook.run("%px px::size()")[1].count("5\n") > 0 and "5 engines" in notebook.ok("%cluster")

    processes.wait_until("five engines again", all_are_back, 90)
    assert "Stopped" in notebook.ok("%cluster stop")
    lab.nothing_is_left(hosts, 60)
    processes.wait_until("mpirun to end", lambda: not [it for _, it in hosts.programs("h1") if "mpirun" in it], 60)


def test_nothing_is_left_when_the_kernel_is_killed(hosts, shared):
    notebook = lab.Notebook(hosts)
    notebook.ok(start(hosts, shared, 2))
    hosts.run("h1", ["kill", "-9", notebook.kernel])
    lab.nothing_is_left(hosts, 40)
    processes.wait_until("mpirun to end", lambda: not [it for _, it in hosts.programs("h1") if "mpirun" in it], 60)
    notebook.client.kill()


def test_what_mpi_says_is_told(hosts, shared, notebook):
    status, text = notebook.run(start(hosts, shared, 2, "h9:2"))
    assert status == "error" and "mpirun has ended" in text and "h9" in text, text
    status, text = notebook.run(start(hosts, shared, 9, "h2:1"))
    assert status == "error" and "slots" in text, text
