"""One cluster whose engines are of several places: the notebook's host, and others."""

import re

import hosts as lab
import processes
import pytest

pytestmark = lab.needs(lab.missing())
hosts = lab.fixture(3)

HOST = 'std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned()'


@pytest.fixture
def notebook(hosts):
    notebook = lab.Notebook(hosts)
    yield notebook
    notebook.close()
    lab.nothing_is_left(hosts, 40)


def ssh(hosts, where):
    return f'--on ssh --hosts {where} --ssh "{hosts.ssh}"'


def where(notebook):
    return sorted(re.findall(r'"(h\d)"', notebook.ok(f"%px --each {HOST}")))


@pytest.fixture
def mixed(hosts, notebook):
    """Two engines here and one on each of two other hosts."""
    notebook.ok("let begun = vec![1u64, 2, 3];\nfn triple(x: u64) -> u64 { x * 3 }")
    notebook.ok("%cluster start -n 2")
    notebook.ok("%px let old = 7;")
    said = notebook.ok(f"%cluster add --label far {ssh(hosts, 'h2,h3')}")
    assert "has 4 engines now: engines 2-3 joined, with all definitions" in said and "without the variables `old`" in said
    return notebook


def test_engines_of_several_places_do_the_same(mixed):
    assert where(mixed) == ["h1", "h1", "h2", "h3"]
    assert "[0, 1, 2, 3]" in mixed.ok("px::engines().each(|| px::rank())?")
    far = 'let far = px::engines().labelled("far");\n(far.ids(), far.each(|| px::rank())?)'
    assert "([2, 3], [0, 1])" in mixed.ok(far)
    assert mixed.ok("%px --each triple(px::rank() as u64)").count("Out[") == 4
    lab.maps_and_copies(mixed)
    mixed.ok("%scatter xs as part\n%px let part: Vec<f64> = part.into_iter().map(|x| x + 1.0).collect();\n%gather part")
    assert "80000200000" in mixed.ok("part.iter().sum::<f64>()")
    # Results that lie on one host are arguments on another, whichever way.
    calls = """
fn big(n: usize) -> Vec<u64> { (0..n as u64).collect() }
fn total(v: Vec<u64>) -> (u64, u32) { (v.iter().sum(), px::rank() as u32) }
let big: Vec<px::Task<Vec<u64>>> = (0..4).map(|engine: usize| px::call!(big, 500_000, { on: engine })).collect();
let all: Vec<px::Task<(u64, u32)>> =
    (0..4).flat_map(|to: usize| big.iter().map(move |from| px::call!(total, from, { on: to })).collect::<Vec<_>>()).collect();
all.iter().map(|task| task.get().unwrap()).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
"""
    said = mixed.run(calls)
    assert said[0] == "ok" and f"({16 * 124999750000}, 24)" in said[1], said


def test_each_comes_again_where_it_was_and_leaves_when_it_is_told(hosts, mixed):
    mixed.ok("%px let mine = px::rank();")
    _, said = mixed.run("%px -t 0,3 std::process::abort()")
    assert "SIGABRT" in said
    assert where(mixed) == ["h1", "h1", "h2", "h3"]
    pids = hosts.programs("h3")
    assert pids
    hosts.run("h3", ["pkill", "-9", "-x", "chorus-engine"])
    for _ in range(60):
        status, said = mixed.run("%px -t 3 1")
        if status == "ok":
            break
    assert where(mixed) == ["h1", "h1", "h2", "h3"]
    # More come from where the last ones came from, and the last ones leave first.
    assert "has 5 engines now" in mixed.ok("%cluster scale 5")
    assert [host for host in where(mixed) if host != "h1"][2:] != []
    mixed.ok("%cluster scale 2")
    assert where(mixed) == ["h1", "h1"]
    assert "has 3 engines now" in mixed.ok("%cluster add -n 1")
    assert where(mixed) == ["h1", "h1", "h1"]


def test_what_cannot_be_added_costs_nothing(hosts, notebook):
    status, said = notebook.run(f"%cluster add {ssh(hosts, 'h2')}")
    assert status == "error" and "there is no cluster" in said
    notebook.ok("%cluster start -n 2")
    status, said = notebook.run("%cluster add --on slurm")
    assert status == "error" and "Slurm needs a number of engines" in said
    status, said = notebook.run(f"%cluster add {ssh(hosts, 'nowhere')}")
    assert status == "error" and "only 2 of 3 engines are there" in said and "nowhere" in said, said
    assert where(notebook) == ["h1", "h1"]
    # Again, and better.
    assert "has 3 engines now" in notebook.ok(f"%cluster add {ssh(hosts, 'h2')}")
    assert where(notebook) == ["h1", "h1", "h2"]


def test_hosts_that_cannot_reach_the_notebook_connect_back_through_ssh(hosts, notebook):
    notebook.ok(f"%cluster start {ssh(hosts, 'h2*2,h3')} --tunnel --ports 5000-5099")
    assert where(notebook) == ["h2", "h2", "h3"]
    peers = {host: hosts.run(host, ["ss", "-Htnp", "state", "established"]).stdout for host in ["h2", "h3"]}
    for host, listed in peers.items():
        ours = [line.split()[3] for line in listed.splitlines() if "chorus" in line]
        assert ours and all(peer.startswith("127.0.0.1:") for peer in ours), (host, listed)
    gate = hosts.run("h1", ["ss", "-Htlnp"]).stdout
    assert re.search(r":50\d\d\b", gate), gate
    notebook.ok("let xs: Vec<f64> = (0..400_000).map(|i| i as f64).collect();\n%push xs")
    assert "Out[0-2" in notebook.ok("%px xs.iter().sum::<f64>()")
    assert "159999600000" in notebook.ok("%map -o ys |x: f64| x * 2.0 over xs\nys.iter().sum::<f64>()")
    notebook.ok("%px let mine = px::rank();")
    # The way is closed; another one is opened, with engines that begin anew.
    hosts.run("h1", ["pkill", "-9", "-x", "ssh"])
    for _ in range(100):
        status, _ = notebook.run("%px 1")
        if status == "ok" and where(notebook) == ["h2", "h2", "h3"]:
            break
    assert where(notebook) == ["h2", "h2", "h3"]
    status, said = notebook.run(f"%cluster add {ssh(hosts, 'h2')} --ports 5000-4000")
    assert status == "error" and "`--ports`: write a port" in said
    # The way goes with the notebook.
    hosts.run("h1", ["kill", "-9", str(notebook.kernel)])
    lab.nothing_is_left(hosts, 40)
    # Whose parent was killed stays as a zombie here, since the hosts' first process reaps nobody.
    ssh_there = ["pgrep", "--runstates", "R,S,D", "-x", "ssh"]
    processes.wait_until("ssh to end", lambda: not hosts.run("h1", ssh_there).stdout, 20)
