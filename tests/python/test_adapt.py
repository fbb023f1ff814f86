"""Clusters whose number of engines follows the work."""

import processes

SLOWLY = "|x: u64| { std::thread::sleep(std::time::Duration::from_millis(100)); x }"


def cluster(kernel):
    return kernel.run("%cluster").ok().text


def test_engines_come_for_work_and_leave_when_there_is_none(own_kernel):
    kernel = own_kernel
    kernel.run("%cluster start --adapt 0:3:2").ok()
    assert ": 1 engine," in cluster(kernel)
    # 20 s of work for one engine.
    said = kernel.run(f"%map --sum --chunk 1 {SLOWLY} over 0..200_u64").ok()
    assert "19900" in said.text and "on 3 engines" in said.text, said.text
    processes.wait_until("idle engines to leave", lambda: ": 0 engines," in cluster(kernel), 30)
    # Nobody is told, since nothing was lost, and the next cell has an engine, however long it is compiled.
    said = kernel.run("%%px\nlet kept = 5;\nkept").ok()
    assert "5" in said.text and "gone" not in said.text, said.text
    calls = f"let all: Vec<_> = (0..100u64).map(|x| px::call!({SLOWLY}, x)).collect();\n"
    said = kernel.run(calls + "all.iter().map(|task| task.get().unwrap()).sum::<u64>()").ok()
    assert "4950" in said.text
    # The one that has a variable stays.
    processes.wait_until("all but one to leave", lambda: ": 1 engine," in cluster(kernel), 30)
    assert "5" in kernel.run("%px kept").ok().text
    assert "stays as it is" in kernel.run("%cluster adapt off").ok().text


def test_limits_are_checked(own_kernel):
    kernel = own_kernel
    for wrong in ["3:2", "x", "0:0"]:
        assert "write the least and the most" in kernel.run(f"%cluster adapt {wrong}").failed().text
    assert "aren't within `--adapt 0:2`" in kernel.run("%cluster start --adapt 0:2 -n 3").failed().text
