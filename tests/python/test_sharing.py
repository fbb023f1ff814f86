"""What is shared and what isn't: definitions between local cells and engines, nothing between notebooks."""

import re

import pytest

import processes


def test_local_definitions_are_seen_by_engines(cluster):
    cluster.run("#[derive(Debug, Clone)] struct Point { x: u32, y: u32 }\nfn norm(p: &Point) -> u32 { p.x + p.y }").ok()
    cluster.run("use std::collections::BTreeMap;").ok()
    reply = cluster.run("%px let p = Point { x: px::rank() as u32, y: 10 }; norm(&p)").ok()
    assert re.search(r"^Out\[3:\d+\]: 13$", reply.text, re.MULTILINE), reply
    assert "Out[0-3:" in cluster.run("%px BTreeMap::<u8, u8>::new()").ok().text


def test_engine_definitions_are_seen_locally(cluster):
    cluster.run("%%px\nfn halve(x: u32) -> u32 { x / 2 }\nconst LIMIT: u32 = 84;").ok()
    assert cluster.run("halve(LIMIT)").ok().results == [{"text/plain": "42"}]


def test_local_variables_are_not_on_the_engines(cluster):
    cluster.run("let mine = 1;").ok()
    assert "mine" in cluster.run("%px mine").failed().text


def test_engine_variables_are_not_here(cluster):
    cluster.run("%px let theirs = 1;").ok()
    assert "theirs" in cluster.run("theirs").failed().text


def test_one_name_may_be_both(cluster):
    cluster.run('let name = "local";').ok()
    cluster.run("%px let name = px::rank();").ok()
    assert cluster.run("name").ok().results == [{"text/plain": '"local"'}]
    assert re.search(r"^Out\[2:\d+\]: 2$", cluster.run("%px name").ok().text, re.MULTILINE)


def test_dependencies_are_shared(cluster, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "Cargo.toml").write_text('[package]\nname = "shared_dep"\nversion = "0.1.0"\nedition = "2021"\n')
    (tmp_path / "src/lib.rs").write_text("pub fn seven() -> u32 { 7 }\n")
    cluster.run(f':dep shared_dep = {{ path = "{tmp_path}" }}').ok()
    assert re.search(r"^Out\[0-3:\d+\]: 49$", cluster.run("%px shared_dep::seven() * 7").ok().text, re.MULTILINE)


@pytest.fixture
def lasting(chorus):
    """A cluster of two engines that outlives notebooks."""
    chorus("start", "-n", "2", "--name", "lasting")
    chorus.wait_for_engines(2)
    return chorus


def test_two_notebooks_on_one_cluster(lasting, kernels):
    one, two = kernels(), kernels()
    one.run("%cluster connect lasting").ok()
    two.run("%cluster connect lasting").ok()
    one.run('%px let mine = "first";').ok()
    assert "mine" in two.run("%px mine").failed().text, "variables are apart"
    two.run("%px let mine = px::rank() + 50;").ok()
    assert re.search(r'^Out\[0-1:\d+\]: "first"$', one.run("%px mine").ok().text, re.MULTILINE)
    assert re.search(r"^Out\[1:\d+\]: 51$", two.run("%px mine").ok().text, re.MULTILINE)
    assert lasting.status()["sessions"] == 2

    # What one notebook breaks, the other doesn't notice.
    one.run("%px std::process::abort();").failed()
    assert re.search(r"^Out\[1:\d+\]: 51$", two.run("%px mine").ok().text, re.MULTILINE)
    reply = one.send('%px println!("looping"); loop {}')
    one.wait_for_text(reply, "looping", times=2)
    assert re.search(r"^Out\[0-1:\d+\]: 2$", two.run("%px 1 + 1").ok().text, re.MULTILINE)
    one.interrupt()
    one.wait(reply, timeout=20).failed()
    assert re.search(r"^Out\[1:\d+\]: 51$", two.run("%px mine").ok().text, re.MULTILINE)


def test_a_notebook_leaves_a_cluster_that_others_use_alone(lasting, kernels):
    one, two = (kernels(env={"JPY_SESSION_NAME": f"/home/me/{name}.ipynb"}) for name in ("one", "two"))
    one.run("%cluster connect lasting").ok()
    refused = one.run("%cluster stop").failed().text
    assert "%cluster disconnect" in refused and "--force" in refused and "/home/me/" not in refused, refused
    two.run("%cluster connect lasting").ok()
    two.run("%px let mine = 5;").ok()
    two.run("let here = 6;").ok()
    reply = two.send('%px println!("looping"); loop {}')
    two.wait_for_text(reply, "looping", times=2)
    refused = one.run("%cluster stop").failed().text
    assert "/home/me/two.ipynb" in refused and "looping" in refused and "/home/me/one.ipynb" not in refused, refused
    assert len(lasting.status()["users"]) == 2

    assert "goes on" in one.run("%cluster disconnect").ok().text
    processes.wait_until("the session to be closed", lambda: lasting.status()["sessions"] == 1, 10)
    assert "no cluster" in one.run("%cluster disconnect").failed().text
    one.run("%cluster connect lasting").ok()
    assert "/home/me/two.ipynb" in one.run("%cluster stop --force").ok().text

    failed = two.wait(reply, timeout=20).failed()
    assert "/home/me/one.ipynb" in failed.text and "stopped it" in failed.text and "`mine`" in failed.text, failed.text
    assert two.run("here").ok().results == [{"text/plain": "6"}]
    assert "`lasting` is gone" in two.run("%px 1").failed().text
    # A cluster of one's own is stopped without a question, and others hear of it with their next cell.
    two.run("%cluster start -n 2 --name own").ok()
    assert "%cluster stop" in two.run("%cluster disconnect").failed().text
    one.run("%cluster connect own").ok()
    one.run("%px let theirs = 5;").ok()
    assert "would end" in two.run("%cluster connect lasting").failed().text
    assert "/home/me/one.ipynb" in two.run("%cluster stop").ok().text
    told = one.run("1 + 1").ok()
    assert "/home/me/two.ipynb" in told.text and "`theirs`" in told.text, told.text
    assert "/home/me/two.ipynb" not in one.run("1 + 2").ok().text, "told twice"


def test_a_started_cluster_outlives_its_notebooks(lasting, kernels):
    engines = sorted(engine["info"]["pid"] for engine in lasting.status()["engines"])
    kernel = kernels()
    kernel.run("%cluster connect lasting").ok()
    kernel.run("%px let x = 1;").ok()
    kernel.close()
    processes.wait_until("the session to be closed", lambda: lasting.status()["sessions"] == 0, 10)
    assert sorted(engine["info"]["pid"] for engine in lasting.status()["engines"]) == engines
    again = kernels()
    again.run("%cluster connect lasting").ok()
    assert "x" in again.run("%px x").failed().text
    assert "Out[0-1:" in again.run("%px 1").ok().text


def test_a_cluster_that_is_stopped_fails_the_cell_that_runs(lasting, kernels):
    kernel = kernels()
    kernel.run("%cluster connect lasting").ok()
    reply = kernel.send('%px println!("looping"); loop {}')
    kernel.wait_for_text(reply, "looping", times=2)
    stopped = lasting("stop").stdout
    assert "a notebook" in stopped and "looping" in stopped, "whom it cuts off"
    assert "`chorus stop`" in kernel.wait(reply, timeout=20).failed().text
    # A cell that asks for engines while it runs hears that they are gone, and the next one has new ones.
    call = "fn four() -> u32 { 4 }\npx::call!(four).get().unwrap()"
    assert "`lasting` is gone" in kernel.run(call, timeout=60).failed().text
    assert kernel.run(call).ok().results == [{"text/plain": "4"}]
    assert kernel.run("1 + 1").ok().results == [{"text/plain": "2"}]


def test_what_goes_with_a_cluster_of_ones_own_is_named(lasting, kernels):
    kernel = kernels()
    kernel.run("%cluster start -n 1 --name own").ok()
    kernel.run("%px let precious = 7;").ok()
    told = kernel.run("%cluster connect lasting").ok().text
    assert "Stopped this notebook's own cluster `own`; lost variables: `precious`." in told, told
    assert "Connected to the cluster `lasting`" in told
    kernel.run("%px let other = 7;").ok()
    assert "lost variables" not in kernel.run("%cluster disconnect").ok().text
    kernel.run("%cluster start -n 1").ok()
    kernel.run("%px let precious = 8;").ok()
    assert "; lost variables: `precious`." in kernel.run("%cluster stop").ok().text
