"""`%cluster`: the cluster that starts by itself, and the commands that start, show, restart and stop one."""

import os
import pathlib
import re

import pytest

import processes


def test_the_first_parallel_cell_starts_a_cluster_and_says_so(own_kernel):
    engines = max(2, len(os.sched_getaffinity(0)))
    reply = own_kernel.run('%px println!("here")').ok()
    announced = [line for line in reply.lines() if re.search(rf"\b{engines} engines\b", line)]
    assert len(announced) == 1, f"one line about {engines} engines expected:\n{reply.text}"
    for engine in range(engines):
        assert f"[stdout:{engine}] here" in reply.text
    again = own_kernel.run('%px println!("again")').ok()
    assert not re.search(r"\bengines\b", again.text), f"announced twice:\n{again.text}"


def test_start_status_stop(own_kernel):
    reply = own_kernel.run("%cluster start -n 3").ok()
    assert re.search(r"\b3 engines\b", reply.text), reply
    status = own_kernel.run("%cluster status").ok()
    assert status.html, "status has an HTML view"
    for view in (status.text, status.html[-1]):
        for engine in range(3):
            assert re.search(rf"\b{engine}\b", view), f"engine {engine} isn't in\n{view}"
    reply = own_kernel.run("%px px::size()").ok()
    assert re.search(r"Out\[0-2:\d+\]: 3\b", reply.text), reply

    own_kernel.run("1").ok()  # A local cell has a worker too, which stays.
    pids = own_kernel.run('%px println!("{} {}", std::process::id(), std::os::unix::process::parent_id());').ok()
    before = [int(pid) for pair in re.findall(r"\] (\d+) (\d+)$", pids.text, re.MULTILINE) for pid in pair]
    assert len(set(before)) == 6, "every engine is a process of its own, with a worker of its own"
    own_kernel.run("%cluster stop").ok()
    processes.wait_until("the engines to be gone", lambda: not any(map(processes.alive, before)), 5)
    assert own_kernel.run("1 + 1").ok().results == [{"text/plain": "2"}]


def test_a_stopped_cluster_can_be_started_again(own_kernel):
    own_kernel.run("%cluster start -n 2").ok()
    own_kernel.run("%px let before = 1;").ok()
    own_kernel.run("%cluster stop").ok()
    own_kernel.run("%cluster start -n 2").ok()
    assert "`before`" in own_kernel.run("%px before").failed().text
    reply = own_kernel.run("%px px::rank()").ok()
    assert re.search(r"Out\[1:\d+\]: 1\b", reply.text), reply


def test_objects_are_removed_when_nobody_needs_them(own_kernel):
    own_kernel.run("%cluster start -n 2 --name blobs").ok()
    folder = pathlib.Path(own_kernel.env["CHORUS_RUNTIME_DIR"]) / "clusters/blobs/blobs"
    for number in range(4):
        own_kernel.run(f"%px let v{number} = vec![{number}];").ok()
    # Queued runs have theirs until they have begun, and workers keep what they have loaded.
    own_kernel.run("%px -a std::thread::sleep(std::time::Duration::from_secs(3));").ok()
    own_kernel.run("%px -a v0.len() + v1.len() + v2.len() + v3.len()").ok()
    assert re.search(r"Out\[0-1:\d+\]: 4\b", own_kernel.run("%pxresult").ok().text)
    own_kernel.run("%map |x| x + 1 over 0..100u32").ok()
    assert own_kernel.run("px::call!(|| 7).get()?").ok().results == [{"text/plain": "7"}]
    # A worker that replaces another finds what it needs.
    own_kernel.run("%px -t 0 std::process::abort();").failed()
    own_kernel.run("%px px::rank()").ok()
    own_kernel.run("1 + 1").ok()

    def objects():
        return [path for path in folder.iterdir() if path.stat().st_size < 1 << 20]

    processes.wait_until("all objects to be removed", lambda: not objects(), 10)
    libraries = list(folder.iterdir())
    assert libraries, "the standard library stays"
    own_kernel.run("%px 1 + 1").ok()
    assert set(libraries) <= set(folder.iterdir())



@pytest.mark.parametrize("command", ["start -n 1 --name other", "connect beside"])
def test_who_asks_for_engines_at_once_shares_a_cluster(kernels, chorus, tmp_path, command):
    """A thread of an earlier cell calls a function while a cell starts a cluster, or connects to one."""
    chorus("start", "-n", "1", "--name", "beside")
    chorus.wait_for_engines(1)
    kernel = kernels()
    wait = f'while !std::path::Path::new("{tmp_path}/gate").exists() {{}}'
    thread = f"let early = std::thread::spawn(|| {{ {wait} px::call!(|| 7).get().ok() }});"
    kernel.run(thread, background=True).ok()
    reply = kernel.send(f"%cluster {command}")
    kernel.pump(lambda: reply.begun, 20, lambda: "the cell to begin")
    (tmp_path / "gate").touch()
    kernel.wait(reply)
    came = kernel.run("early.join().unwrap()").ok().results[0]["text/plain"]
    # Who connects elsewhere leaves what the notebook had, if that came first.
    assert came == "Some(7)" or came == "None" and command.startswith("connect"), came
    status = kernel.run("%cluster status").ok().text
    running = [path.name for path in (chorus.runtime_dir / "clusters").iterdir()]
    own = [name for name in running if name != "beside"]
    used = re.search(r"cluster `?([\w-]+)", status)[1]
    assert own == ([] if used == "beside" else [used]), f"{running} run, and the notebook uses\n{status}"


def test_status_without_a_cluster_says_so(own_kernel):
    reply = own_kernel.run("%cluster status")
    assert "cluster" in reply.text.lower()


def test_restart_of_some_engines_drops_their_variables(cluster):
    cluster.run("%px let held = px::rank();").ok()
    cluster.run("%cluster restart -t 1,3").ok()
    reply = cluster.run("%px held").failed()
    assert "`held`" in reply.text and re.search(r"engines 1(,| and) ?3", reply.text), reply
    reply = cluster.run("%%px -t 0,2\nheld").ok()
    assert re.search(r"Out\[2:\d+\]: 2\b", reply.text), reply
    reply = cluster.run("%px px::rank()").ok()
    assert re.search(r"Out\[3:\d+\]: 3\b", reply.text), "a restarted engine keeps its id"


def test_restart_of_all_engines(cluster):
    cluster.run("%px let held_by_all = 1;").ok()
    cluster.run("%cluster restart").ok()
    assert "`held_by_all`" in cluster.run("%px held_by_all").failed().text
    assert "Out[0-3:" in cluster.run("%px 5").ok().text


@pytest.mark.parametrize("command", ["%cluster dance", "%cluster start --legs 3", "%cluster start -n none"])
def test_a_wrong_command_is_named_and_shows_the_usage(kernel, command):
    reply = kernel.run(command).failed()
    assert command.split()[-1] in reply.text or command.split()[2] in reply.text
    assert "usage" in reply.text.lower()


def test_a_cluster_that_does_not_exist_is_named(own_kernel):
    assert "no-such-cluster" in own_kernel.run("%cluster connect no-such-cluster").failed().text


def test_after_a_restart_as_many_engines_start_again(own_kernel):
    for _ in range(2):
        own_kernel.run("%cluster start -n 3").ok()
        own_kernel.restart()
        reply = own_kernel.run("%px 1").ok()
        assert re.search(r"with 3 engines in \S+ s, as many as before the restart\.", reply.stdout), reply
        own_kernel.run("%cluster stop").ok()
