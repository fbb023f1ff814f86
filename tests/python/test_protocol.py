"""The Jupyter protocol, message by message: states, subshells, history, comms, and what is answered while a cell runs."""

import contextlib
import json
import os
import signal
import subprocess
import time

import pytest
import zmq
from jupyter_client.session import Session

import processes
from conftest import start_kernel


class Listener:
    """A raw subscriber, beside the harness's client, that keeps all that is published."""

    def __init__(self, kernel):
        self.session = Session(key=kernel.client.session.key)
        self.socket = zmq.Context.instance().socket(zmq.SUB)
        self.socket.connect(kernel.client._make_url("iopub"))
        self.socket.subscribe(b"")
        self.messages = []

    def read(self, until, seconds=20):
        def look():
            while self.socket.poll(0):
                _, parts = self.session.feed_identities(self.socket.recv_multipart())
                self.messages.append(self.session.deserialize(parts))
            return until() or None

        return processes.wait_until("a publication", look, seconds)

    def welcome(self):
        self.read(lambda: self.messages)
        return self.messages[0]

    def of(self, parent):
        """What was published for one request, as (type, state)."""
        mine = [m for m in self.messages if m["parent_header"].get("msg_id") == parent]
        return [(m["msg_type"], m["content"].get("execution_state")) for m in mine]


@pytest.fixture
def listener(kernel):
    listener = Listener(kernel)
    welcome = listener.welcome()
    assert (welcome["msg_type"], welcome["content"]) == ("iopub_welcome", {"subscription": ""})
    assert welcome["parent_header"] == {}
    yield listener
    listener.socket.close(linger=0)


@contextlib.contextmanager
def running(kernel, tmp_path, then=""):
    """A cell that runs as long as the block does."""
    gate = tmp_path / f"gate{time.monotonic_ns()}"
    reply = kernel.send(f'println!("runs"); while !std::path::Path::new("{gate}").exists() {{}} {then}')
    kernel.wait_for_text(reply, "runs")
    try:
        yield reply
        assert not reply.done
    finally:
        gate.touch()
    kernel.wait(reply)


def last_id(kernel):
    return list(kernel._requests)[-1]


def test_kernel_info_names_version_and_features(kernel):
    info = kernel.kernel_info()
    assert info["protocol_version"] == "5.5"
    assert info["supported_features"] == ["kernel subshells"]


# States


def test_every_request_is_between_busy_and_idle(kernel, listener):
    subshell = kernel.ask("create_subshell_request", channel="control")["subshell_id"]
    ids = []
    for channel, kind, content in [
        ("shell", "kernel_info_request", {}),
        ("control", "kernel_info_request", {}),
        ("shell", "complete_request", {"code": "%p", "cursor_pos": 2}),
        ("shell", "inspect_request", {"code": "x", "cursor_pos": 0, "detail_level": 0}),
        ("shell", "is_complete_request", {"code": "x"}),
        ("shell", "history_request", {"hist_access_type": "tail", "n": 1}),
        ("shell", "comm_info_request", {}),
        ("control", "list_subshell_request", {}),
        ("control", "delete_subshell_request", {"subshell_id": subshell}),
        ("control", "interrupt_request", {}),
        ("shell", "execute_request", {"code": "", "silent": True}),
    ]:
        assert kernel.ask(kind, content, channel=channel)["status"] in ("ok", "complete"), kind
        ids.append(last_id(kernel))
    cell = kernel.run('println!("out"); 1 + 1').ok()
    execute = last_id(kernel)
    listener.read(lambda: ("status", "idle") in listener.of(execute))
    for ident in ids:
        assert listener.of(ident) == [("status", "busy"), ("status", "idle")]
    assert listener.of(execute) == [
        ("status", "busy"),
        ("execute_input", None),
        ("stream", None),
        ("execute_result", None),
        ("status", "idle"),
    ]
    assert cell.results == [{"text/plain": "2"}]


def test_what_makes_no_sense_is_answered_with_an_error(kernel):
    for kind in ("complete", "inspect", "is_complete", "history", "execute"):
        for content in ({}, {"code": 7, "hist_access_type": 7}):
            reply = kernel.ask(f"{kind}_request", content)
            assert (reply["status"], reply["ename"]) == ("error", "BadRequest"), kind
            assert f"{kind}_request" in reply["evalue"]


def test_unknown_messages_are_ignored(kernel):
    for channel in ("shell", "control"):
        reply = kernel.request("nonsense_request", {"x": 1}, channel=channel)
        kernel.pump(lambda: reply.idle_at, 20, lambda: "idle after a message of unknown type")
        kernel.settle()
        assert reply.content is None


# Cells


def test_user_expressions_are_evaluated_after_the_cell(kernel):
    reply = kernel.ask(
        "execute_request",
        {
            "code": "let mut seen = vec![1]; seen.push(2);",
            "user_expressions": {
                "a": "seen.len() * 21",
                "b": "no_such_variable",
                "c": 'panic!("on purpose")',
                "d": "let y = 1;",
                "e": "seen",
                "f": 7,
            },
        },
        timeout=120,
    )
    assert reply["status"] == "ok", reply
    values = reply["user_expressions"]
    assert values["a"] == {"status": "ok", "data": {"text/plain": "42"}, "metadata": {}}
    assert (values["b"]["status"], values["b"]["ename"]) == ("error", "CompileError")
    assert "no_such_variable" in values["b"]["evalue"] and values["b"]["traceback"]
    assert "on purpose" in values["c"]["evalue"]
    assert values["d"]["ename"] == values["f"]["ename"] == "NotAnExpression"
    assert values["e"]["data"] == {"text/plain": "[1, 2]"}
    assert reply["status"] == "ok"


def test_a_failed_cell_evaluates_no_user_expressions(kernel):
    content = {"code": 'panic!("no")', "user_expressions": {"a": "1"}}
    reply = kernel.ask("execute_request", content, timeout=120)
    assert reply["status"] == "error" and "user_expressions" not in reply


def test_a_silent_cell_is_neither_counted_nor_kept(kernel):
    before = kernel.run("1").ok().count
    content = {"code": 'println!("unheard"); 6 * 7', "silent": True, "store_history": True, "user_expressions": {"a": "2"}}
    reply = kernel.request("execute_request", content)
    kernel.pump(lambda: reply.done, 120, lambda: "the silent cell")
    assert reply.messages == [] and reply.content["execution_count"] == before
    assert reply.content["user_expressions"]["a"]["data"] == {"text/plain": "2"}
    unkept = kernel.run('"shown, not kept"', store_history=False).ok()
    assert unkept.results and unkept.count == before
    tail = kernel.ask("history_request", {"hist_access_type": "tail", "n": 1})
    assert tail["history"][0][2] == "1"


def test_an_error_aborts_what_waits_and_nothing_later(kernel, tmp_path):
    with running(kernel, tmp_path, then='panic!("stop")') as first:
        waiting = [kernel.send(f"{n}") for n in range(3)]
        quick = kernel.ask("kernel_info_request")
        assert quick["status"] == "ok"
    assert first.status == "error"
    later = kernel.send('"later"')
    for reply in waiting:
        kernel.wait(reply)
        assert reply.status == "aborted" and not reply.begun and reply.messages == []
    assert kernel.wait(later).ok().results


def test_an_error_that_is_not_to_stop_aborts_nothing(kernel, tmp_path):
    first = kernel.request("execute_request", {"code": 'panic!("go on")', "stop_on_error": False})
    second = kernel.send("5")
    assert kernel.wait(second).ok().results == [{"text/plain": "5"}]
    assert first.content["status"] == "error"


def test_who_waits_for_each_reply_sees_no_cell_aborted(kernel, tmp_path):
    """nbclient and papermill take an aborted cell for a success."""
    with running(kernel, tmp_path, then='panic!("of another client")') as first:
        of_runner = kernel.request("execute_request", {"code": "6"}, session="runner")
        own = kernel.send("7")
        kernel.ask("kernel_info_request")
    assert first.status == "error"
    kernel.wait(of_runner)
    assert (of_runner.content["status"], of_runner.results) == ("ok", [{"text/plain": "6"}])
    assert kernel.wait(own).status == "aborted"

    unheard = kernel.send('std::thread::sleep(std::time::Duration::from_millis(500)); panic!("unheard")', silent=True)
    assert kernel.run("8").ok().results == [{"text/plain": "8"}]
    assert unheard.status == "error"


# While a cell runs


def test_questions_are_answered_while_a_cell_runs(kernel, tmp_path):
    kernel.run("let answer_to_all = 42;").ok()
    subshell = kernel.ask("create_subshell_request", channel="control")["subshell_id"]
    with running(kernel, tmp_path):
        for shell in (None, subshell):
            asked = {"code": "🦀; answer_t", "cursor_pos": 11}
            complete = kernel.ask("complete_request", asked, subshell=shell)
            assert "answer_to_all" in complete["matches"]
            assert (complete["cursor_start"], complete["cursor_end"]) == (3, 11)
            assert kernel.ask("inspect_request", asked, subshell=shell)["status"] == "ok"
            judged = kernel.ask("is_complete_request", {"code": "fn f() {\n    if x {"}, subshell=shell)
            assert judged == {"status": "incomplete", "indent": " " * 8}
            tail = kernel.ask("history_request", {"hist_access_type": "tail", "n": 2}, subshell=shell)
            assert tail["history"][0][2] == "let answer_to_all = 42;"
            assert kernel.ask("comm_info_request", subshell=shell)["comms"] == {}
            assert kernel.ask("kernel_info_request", subshell=shell)["implementation"] == "chorus"
    kernel.ask("delete_subshell_request", {"subshell_id": subshell}, channel="control")



def test_a_line_that_is_full_takes_no_cell(kernel, tmp_path):
    with running(kernel, tmp_path):
        # 20 MiB each, as content and beside it.
        large, filler = bytes(20 << 20), "// " + "x" * (20 << 20)
        waiting = [
            kernel.request("execute_request", {"code": '"taken"'}, buffers=[large]),
            kernel.request("execute_request", {"code": f'{filler}\n"taken"'}),
            kernel.request("execute_request", {"code": '"taken"'}, buffers=[large]),
        ]
        refused = kernel.ask("execute_request", {"code": '"refused"'}, buffers=[large])
        assert (refused["status"], refused["ename"]) == ("error", "LineFull")
        assert "64 MiB" in refused["evalue"] and "send it again" in refused["evalue"]
        assert not any(reply.done for reply in waiting)
        small = kernel.send('"small"')
    for reply in waiting:
        kernel.wait(reply)
        assert reply.results == [{"text/plain": '"taken"'}]
    assert kernel.wait(small).ok().results == [{"text/plain": '"small"'}]
    again = kernel.request("execute_request", {"code": '"refused"'}, buffers=[large])
    assert kernel.wait(again).results == [{"text/plain": '"refused"'}]


def test_cells_of_subshells_run_in_their_turn(kernel, tmp_path):
    subshell = kernel.ask("create_subshell_request", channel="control")["subshell_id"]
    assert subshell in kernel.ask("list_subshell_request", channel="control")["subshell_id"]
    with running(kernel, tmp_path, then='panic!("only the main shell\'s")') as first:
        inside = kernel.request("execute_request", {"code": '"in the subshell"'}, subshell=subshell)
        behind = kernel.send('"behind"')
        kernel.ask("kernel_info_request")
        assert inside.content is None, "it shares the variables of the cell that runs"
    assert first.status == "error"
    kernel.wait(inside)
    assert inside.content["status"] == "ok" and inside.results == [{"text/plain": '"in the subshell"'}]
    assert kernel.wait(behind).status == "aborted"

    assert kernel.ask("delete_subshell_request", {"subshell_id": subshell}, channel="control")["status"] == "ok"
    assert subshell not in kernel.ask("list_subshell_request", channel="control")["subshell_id"]
    for kind in ("execute", "complete", "kernel_info"):
        refused = kernel.ask(f"{kind}_request", {"code": "1"}, subshell=subshell)
        assert (refused["status"], refused["ename"]) == ("error", "SubshellNotFound")
    again = kernel.ask("delete_subshell_request", {"subshell_id": subshell}, channel="control")
    assert again["ename"] == "SubshellNotFound"


# Comms


def test_a_comm_for_an_unknown_target_is_closed(kernel):
    content = {"comm_id": "c1", "target_name": "jupyter.widget", "data": {"state": {}}}
    opened = kernel.request("comm_open", content, buffers=[b"\x00\xff"])
    kernel.pump(lambda: opened.idle_at, 20, lambda: "idle after comm_open")
    assert opened.of("comm_close") == [{"comm_id": "c1", "data": {}}]
    assert kernel.ask("comm_info_request")["comms"] == {}


def test_a_comm_tells_the_variables(kernel):
    kernel.run("let told: Vec<u8> = vec![];").ok()

    def say(kind, content, buffers=None):
        message = kernel.request(kind, {"comm_id": "c2", **content}, buffers=buffers)
        kernel.pump(lambda: message.idle_at, 20, lambda: f"idle after {kind}")
        return message

    opened = say("comm_open", {"target_name": "chorus.variables", "data": {}})
    (answer,) = opened.of("comm_msg")
    told = [variable for variable in answer["data"]["variables"] if variable["name"] == "told"]
    assert told == [{"name": "told", "type": "Vec<u8>", "engine": None}]
    assert kernel.ask("comm_info_request")["comms"] == {"c2": {"target_name": "chorus.variables"}}
    assert kernel.ask("comm_info_request", {"target_name": "other"})["comms"] == {}
    assert say("comm_msg", {"data": {}}, buffers=[b"ignored"]).of("comm_msg") == [answer]
    say("comm_close", {"data": {}})
    assert kernel.ask("comm_info_request")["comms"] == {}
    assert say("comm_msg", {"data": {}}).messages == []



def test_a_flood_of_comm_messages_stops_nobody(own_kernel, tmp_path):
    """Of such as a widget's slider sends them: the kernel takes them all, a cell runs on, and others are answered."""
    kernel = own_kernel
    kernel.run("let told = 1;").ok()
    before = processes.resident(kernel.pid)
    with running(kernel, tmp_path) as cell:
        opened = kernel.request("comm_open", {"comm_id": "c", "target_name": "chorus.variables", "data": {}})
        flood = []
        for number in range(5000):
            comm = "c" if number % 2 else f"unknown {number}"
            content = {"comm_id": comm, "data": {"number": number}}
            flood.append(kernel.request("comm_msg", content, buffers=[bytes(10_000)]))
        for number in range(500):
            content = {"comm_id": f"w{number}", "target_name": "jupyter.widget", "data": {}}
            flood.append(kernel.request("comm_open", content))
        assert kernel.ask("kernel_info_request", channel="control")["status"] == "ok"
        kernel.pump(lambda: all(sent.idle_at for sent in flood), 120, lambda: "idle after each message")
        assert not cell.done
    assert opened.of("comm_msg") and all(sent.of("comm_msg") for sent in flood[1:5000:2])
    assert all(len(sent.of("comm_close")) == 1 for sent in flood[5000:])
    assert list(kernel.ask("comm_info_request")["comms"]) == ["c"]
    assert kernel.run("1 + 1").ok().results == [{"text/plain": "2"}]
    assert processes.resident(kernel.pid) < before + (200 << 20)


# History, and the end


def history(kernel, **content):
    return kernel.ask("history_request", content)["history"]


def test_the_history_outlives_a_killed_kernel(installed, tmp_path):
    env = {"CHORUS_DATA_DIR": str(tmp_path / "data")}
    with start_kernel(env=env) as first, start_kernel(env=env) as second:
        first.run("40 + 2").ok()
        first.run("let first = 1;").ok()
        second.run("let second = 2;").ok()
        mine = history(first, hist_access_type="range", session=0, output=True)
        assert mine == [[0, 1, ["40 + 2", "42"]], [0, 2, ["let first = 1;", None]]]
        assert history(second, hist_access_type="search", pattern="*first*")[0][2] == "let first = 1;"
        for kernel in (first, second):
            os.kill(kernel.pid, signal.SIGKILL)
    assert (tmp_path / "data/history.sqlite").stat().st_mode & 0o777 == 0o600

    with start_kernel(env=env) as kernel:
        texts = [entry[2] for entry in history(kernel, hist_access_type="tail", n=10)]
        assert sorted(texts) == ["40 + 2", "let first = 1;", "let second = 2;"]
        before = history(kernel, hist_access_type="range", session=-1)
        assert [entry[2] for entry in before] == ["let second = 2;"]
        # Asked on shell, it ends as well, and says what it was asked for.
        reply = kernel.ask("shutdown_request", {"restart": True})
        assert reply == {"status": "ok", "restart": True}
        processes.wait_until("the kernel's end", lambda: not kernel.manager.is_alive() or None, 20)


def test_a_kernel_answers_at_once_and_works_without_a_disk(chorus, tmp_path):
    connection = {
        "transport": "ipc",
        "ip": str(chorus.runtime_dir / "k"),
        "key": "a key",
        "signature_scheme": "hmac-sha256",
        **{f"{name}_port": port for port, name in enumerate(("shell", "iopub", "stdin", "control", "hb"), start=1)},
    }
    (tmp_path / "file").write_text("where a folder should be")
    path = tmp_path / "connection.json"
    path.write_text(json.dumps(connection))
    env = chorus.env | {"CHORUS_DATA_DIR": str(tmp_path / "file")}
    session = Session(key=b"a key")
    context = zmq.Context.instance()
    sockets = {name: context.socket(kind) for name, kind in (("shell", zmq.DEALER), ("control", zmq.DEALER), ("iopub", zmq.SUB))}

    def ask(name, kind, content):
        request = session.msg(kind, content)
        session.send(sockets[name], request)
        assert sockets[name].poll(60_000), f"no answer to {kind}"
        reply = session.recv(sockets[name])[1]
        assert reply["parent_header"]["msg_id"] == request["header"]["msg_id"]
        return reply["content"]

    command = [os.environ["CHORUS"], "kernel", "-f", str(path)]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            for name in ("shell", "control"):
                sockets[name].connect(f"ipc://{connection['ip']}-{connection[f'{name}_port']}")
            # As VS Code does: nobody listens on iopub yet.
            started = time.monotonic()
            assert ask("shell", "kernel_info_request", {})["status"] == "ok"
            assert time.monotonic() - started < 2, "kernel_info waits for something"
            sockets["iopub"].connect(f"ipc://{connection['ip']}-{connection['iopub_port']}")
            sockets["iopub"].subscribe(b"")
            assert sockets["iopub"].poll(20_000)
            assert session.recv(sockets["iopub"])[1]["msg_type"] == "iopub_welcome"
            assert ask("shell", "execute_request", {"code": "6 * 7"})["status"] == "ok"
            tail = ask("shell", "history_request", {"hist_access_type": "tail", "output": True})
            assert tail["history"] == [[1, 1, ["6 * 7", "42"]]]
            assert ask("control", "shutdown_request", {"restart": False}) == {"status": "ok", "restart": False}
            assert process.wait(20) == 0
            said = process.stderr.read()
            assert said.count("the history can't be kept") == 1 and str(tmp_path / "file") in said, said
        finally:
            process.kill()
            for socket in sockets.values():
                socket.close(linger=0)


READ = "let mut line = String::new(); std::io::stdin().read_line(&mut line).unwrap();"


def answer(kernel, text, prompt=""):
    request = kernel.client.get_stdin_msg(timeout=30)["content"]
    assert request == {"prompt": prompt, "password": False}
    kernel.client.input(text)


def test_a_cell_that_reads_its_stdin_asks_the_front_end(kernel):
    reply = kernel.send(f'print!("Name: "); {READ} line', allow_stdin=True)
    kernel.wait_for_text(reply, "Name: ")
    answer(kernel, "Ferris")
    assert kernel.wait(reply).ok().results == [{"text/plain": '"Ferris\\n"'}]
    reply = kernel.send(f'println!("EVCXR_INPUT_REQUEST:Who?"); {READ} line', allow_stdin=True)
    answer(kernel, "it", "Who?")
    assert kernel.wait(reply).ok().results == [{"text/plain": '"it\\n"'}]


def test_a_cell_that_reads_where_nobody_can_be_asked_fails(kernel):
    kernel.run("let before_reading = 7;").ok()
    reply = kernel.run(READ).failed()
    assert reply.content["ename"] == "StdinNotImplementedError" and "can't ask" in reply.content["evalue"]
    assert kernel.run("before_reading").ok().results == [{"text/plain": "7"}]


def test_an_interrupt_ends_a_cell_that_waits_for_a_line(kernel):
    reply = kernel.send(READ, allow_stdin=True)
    kernel.client.get_stdin_msg(timeout=30)
    kernel.interrupt()
    assert kernel.wait(reply).failed().content["ename"] == "Interrupted"
