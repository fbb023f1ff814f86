"""Bars tell the truth, also when something dies or is ended: the last state is final, red, and says why."""

import os
import re
import signal

import processes

NAP = "std::thread::sleep(std::time::Duration::from_millis({}));"
ENDLESS = "loop { std::thread::sleep(std::time::Duration::from_millis(10)); }"


def last_bar(reply):
    """The text of the one display that is updated, which has ended badly."""
    (data,) = [data for data in reply.displays if "<progress" in data.get("text/html", "")]
    text, html = data["text/plain"], data["text/html"]
    assert " left" not in text and "busy" not in text and "#c33" in html, data
    return text


def printed_pid(kernel, reply, engine=None):
    said = f"[stdout:{engine}] pid " if engine is not None else "pid "
    kernel.wait_for_text(reply, said)
    kernel.pump(lambda: re.search(re.escape(said) + r"\d+\n", reply.text), 20, lambda: "a whole line")
    return int(re.search(re.escape(said) + r"(\d+)", reply.text)[1])


def test_the_progress_of_engines_ends_as_they_do(cluster):
    code = f'%%px --progress-after 0\nprintln!("pid {{}}", std::process::id()); if px::rank() == 1 {{ {ENDLESS} }}'
    reply = cluster.send(code)
    pid = printed_pid(cluster, reply, 1)
    cluster.pump(lambda: "3/4" in str(reply.displays), 20, lambda: "three engines to be done")
    os.kill(pid, signal.SIGKILL)
    assert re.search(
        r"3/4 engines done, failed after .*: engine 1: the worker was killed by signal 9", last_bar(cluster.wait(reply).failed())
    )
    reply = cluster.send(code)
    cluster.pump(lambda: "3/4" in str(reply.displays), 20, lambda: "three engines to be done")
    cluster.interrupt()
    assert "3/4 engines done, interrupted after" in last_bar(cluster.wait(reply).failed())
    reply = cluster.run(f'%%px --progress-after 0\n{NAP.format(50)} if px::rank() == 2 {{ panic!("no") }}').failed()
    assert "3/4 engines done, failed after" in last_bar(reply) and "no" in last_bar(reply)
    reply = cluster.run(f"%%px --progress-after 0\n{NAP.format(50)}").ok()
    (data,) = [data for data in reply.displays if "<progress" in data.get("text/html", "")]
    assert "4/4 engines done" in data["text/plain"] and "#c33" not in data["text/html"]
    assert "px: done in 0 s" in reply.stdout, "also where no updates are drawn"


def test_the_bars_of_a_map_end_with_it(cluster):
    pid = int(cluster.run("std::process::id()").ok().results[0]["text/plain"])
    slow = f"%map --chunk 1 --progress-after 0 |x| {{ if x == 9 {{ println!(\"under way\") }} {NAP.format(20)} x }} over 0..5000u32"
    reply = cluster.send(slow)
    cluster.wait_for_text(reply, "under way")
    cluster.interrupt()
    assert re.search(r"interrupted: \d+ of 5,000 items.*the map was interrupted", last_bar(cluster.wait(reply).failed()))
    reply = cluster.run(f"%map --progress-after 0 |x| {{ {NAP.format(1)} x }} over 0..500u32").ok()
    assert re.search(r"^500 items on \d engines in", reply.stdout, re.MULTILINE), "also where no updates are drawn"
    reply = cluster.run('%map --progress-after 0 |x| { if x == 77 { panic!("unlucky") } x } over 0..1000').failed()
    assert re.search(r"failed: .* of 1,000 items.*item 77 \(77\) failed on engine \d: unlucky", last_bar(reply))
    reply = cluster.send(slow)
    cluster.wait_for_text(reply, "under way")
    os.kill(pid, signal.SIGKILL)
    cluster.wait(reply).failed()
    assert "the notebook's worker was killed by signal 9" in last_bar(reply)
    reply = cluster.send("let background = 1;\n" + slow.replace("%map", "%map -a -o going"), background=True)
    cluster.wait(reply).ok()
    cluster.pump(lambda: reply.displays, 20, lambda: "the bars")
    cluster.run("drop(going)").ok()
    cluster.pump(lambda: "interrupted: " in str(reply.displays), 20, lambda: f"the end of {reply.displays}")
    assert "nobody has its handle" in last_bar(reply)


def test_a_lost_engine_is_told_in_the_cell_that_runs(own_kernel):
    kernel = own_kernel
    kernel.run("%cluster start -n 2").ok()
    engine = processes.parent(int(re.search(r"stdout:1\] (\d+)", kernel.run("%px println!(\"{}\", std::os::unix::process::parent_id())").text)[1]))
    reply = kernel.send(f"%map --chunk 1 --progress-after 0 |x| {{ if x == 9 {{ println!(\"under way\") }} {NAP.format(10)} x }} over 0..300u32")
    kernel.wait_for_text(reply, "under way")
    os.kill(engine, signal.SIGKILL)
    kernel.wait(reply).ok()
    assert "engine 1 is gone" in reply.stderr, reply.text
    assert "workers died on engine 1" in reply.text + str(reply.displays)

    def both_there():
        return "[1:" in kernel.run("%px --each px::rank()").text or "Out[1:" in kernel.run("%px --each px::rank()").text

    processes.wait_until("the engine to be back", both_there, 30)
    said = kernel.run("%px println!(\"{}\", std::os::unix::process::parent_id())").text
    engine = processes.parent(int(re.search(r"stdout:1\] (\d+)", said)[1]))
    reply = kernel.send(f'%%px --progress-after 0\nprintln!("running"); if px::rank() == 1 {{ {ENDLESS} }}')
    kernel.wait_for_text(reply, "running", times=2)
    os.kill(engine, signal.SIGKILL)
    kernel.wait(reply).failed()
    assert "1/2 engines done, failed after" in last_bar(reply)
    assert "engine 1 is gone" in reply.stderr, reply.text
    assert "is gone" not in kernel.run("1").text, "told once"


def test_bars_of_cells_are_ended_for_workers_that_die(cluster):
    loop = "for n in px::progress(0..100).label(\"files\") { if n == 5 { %s } }"
    reply = cluster.run(loop % "std::process::abort()").failed()
    assert re.search(r"^files .*, its worker died after", last_bar(reply))
    reply = cluster.send(loop % f'println!("under way"); {ENDLESS}')
    cluster.wait_for_text(reply, "under way")
    cluster.interrupt()
    assert re.search(r"^files .*, interrupted after", last_bar(cluster.wait(reply).failed()))
    reply = cluster.run("%%px -t 2\n" + loop % "std::process::abort()").failed()
    assert re.search(r"^engine 2: files .*, its worker died after", last_bar(reply))
    reply = cluster.run("%%px -t 2 --no-stream\n" + loop % "std::process::abort()").failed()
    assert re.search(r"^engine 2: files .*, its worker died after", last_bar(reply))
    # A bar of a thread, and one that a variable holds, whose cells have ended long ago.
    thread = cluster.run(f"std::thread::spawn(|| {loop % ENDLESS});", background=True).ok()
    cluster.pump(lambda: thread.displays, 20, lambda: "the thread's bar")
    held = cluster.run("let mut held = px::progress(0..3); held.next();", background=True).ok()
    killing = cluster.run("std::process::abort()").failed()
    last = {content["transient"]["display_id"]: content["data"] for content in killing.of("update_display_data")}
    for reply in (thread, held):
        (ident,) = [content["transient"]["display_id"] for content in reply.of("display_data")]
        assert "its worker died" in last[ident]["text/plain"] and "#c33" in last[ident]["text/html"], last
    held = cluster.run("let mut held = px::progress(0..3); held.next();", background=True).ok()
    cluster.run(":restart").ok()
    cluster.pump(lambda: "interrupted after" in str(held.displays), 20, lambda: f"the end of {held.displays}")


def test_a_cluster_that_is_stopped_elsewhere_ends_the_bars(chorus, kernels):
    chorus("start", "-n", "2", "--name", "shared")
    kernel = kernels()
    kernel.run("%cluster connect shared").ok()
    going = kernel.run(f"%map -a -o going --chunk 1 --progress-after 0 |x| {{ {NAP.format(20)} x }} over 0..5000u32", background=True).ok()
    reply = kernel.send(f'%%px --progress-after 0\nprintln!("running"); {ENDLESS}')
    kernel.pump(lambda: going.displays and reply.displays, 20, lambda: "the bars")
    chorus("stop", "shared")
    kernel.wait(reply).failed()
    assert "0/2 engines done, failed after" in last_bar(reply)
    kernel.pump(lambda: "failed: " in str(going.displays), 20, lambda: f"the end of {going.displays}")
    assert "the cluster is gone" in last_bar(going)


def test_bars_of_engines_are_rows_of_one_table(cluster):
    reply = cluster.run(f'%%px\nfor n in px::progress(0..20).label("files") {{ println!("at {{n}}"); {NAP.format(10)} }}').ok()
    (data,) = [data for data in reply.displays if "<progress" in data.get("text/html", "")]
    first, *rows = data["text/plain"].splitlines()
    assert first == "px: 4/4 engines done" and len(rows) == 4
    for engine, row in enumerate(rows):
        assert re.fullmatch(rf"  engine {engine} \[█{{12}}\] files 20/20, .*, took .* s", row), row
    # What is printed stands in whole lines beside it.
    *printed, last = reply.stdout.splitlines()
    assert sorted(printed) == sorted(f"[stdout:{engine}] at {n}" for engine in range(4) for n in range(20))
    assert last.startswith("px: done in ")
    # A bar that a variable holds goes on behind the cell's end, as a display of its own.
    reply = cluster.run('%%px -t :2\nlet mut held = px::progress(0..3).label("held"); held.next();').ok()
    table, *held = [data["text/plain"] for data in reply.displays]
    assert "held" not in table and sorted(text[:14] for text in held) == ["engine 0: held", "engine 1: held"]
    ids = [content["transient"]["display_id"] for content in reply.of("display_data")][1:]
    reply = cluster.run("%%px -t :2\nheld.next(); drop(held);").ok()
    last = {content["transient"]["display_id"]: content["data"] for content in reply.of("update_display_data")}
    assert all("stopped after" in last[ident]["text/plain"] for ident in ids), last
