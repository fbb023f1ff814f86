"""How long a cell with `%map --gpu` takes beside the same without `--gpu`: with a new function each time, and again with one
that is unchanged. The maps are tiny, so the time is that of compiling and of the notebook. CHORUS_GPU=simulated measures
it where there is no GPU. Needs jupyter_client, and Chorus's kernel where Jupyter finds it (`chorus install`)."""

import statistics
import time

from jupyter_client.manager import start_new_kernel

TIMES = 9


def main():
    manager, client = start_new_kernel(kernel_name="chorus", startup_timeout=120)

    def run(code):
        begun = time.perf_counter()
        reply = client.execute_interactive(code, timeout=120, output_hook=lambda message: None)
        if reply["content"]["status"] != "ok":
            raise SystemExit("\n".join(reply["content"]["traceback"]))
        return (time.perf_counter() - begun) * 1000

    try:
        run("%cluster start -n 2")
        run("let xs: Vec<f32> = vec![1.0, 2.0];")
        # What is made once.
        run("%map |x: f32| x * 0.5 over xs")
        run("%map --gpu |x: f32| x * 0.5 over xs")
        alone, both = [], []
        for k in range(TIMES):
            function = f"|x: f32| (x * x + {k}.25).sqrt() over xs"
            alone.append(run(f"%map {function}"))
            both.append(run(f"%map --gpu {function}"))
        again = [run(f"%map --gpu {function}") for _ in range(TIMES)]
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
    alone, both, again = (statistics.median(times) for times in (alone, both, again))
    print(f"a new function: {alone:.0f} ms by processors, {both:.0f} ms by GPUs, {both / alone:.2f} times that")
    print(f"an unchanged one: {again:.1f} ms")


if __name__ == "__main__":
    main()
