def ray_task(spec, programs, invitation):
    """An outpost, on a node of Ray's. Why it hasn't joined, or None."""
    import ray

    return outpost(spec, keep(spec, lambda: ray.get(programs[0])), invitation)


class Cluster:
    """One of Ray's."""

    def __init__(self, guide):
        ray = package("ray", "Ray")  # noqa: F821, it is in the text behind
        spec = guide.spec
        self.guide, self.ray, address = guide, ray, spec["address"] or "auto"
        try:
            ray.init(address=address, logging_level="ERROR", log_to_driver=False, configure_logging=False)
        except Exception as error:
            raise RuntimeError(f"Ray can't be reached at {address}: {error}") from None
        with open(spec["program"], "rb") as program:
            self.program = ray.put(program.read())
        self.wanted = {"CPU": spec["cores"] or 1} | ({"memory": spec["memory"]} if spec["memory"] else {})
        # Nothing is done again: the controller asks for another one.
        options = {"num_cpus": self.wanted["CPU"], "memory": spec["memory"] or None, "max_retries": 0, "name": spec["job"]}
        self.task = ray.remote(ray_task).options(**options)

    def start(self, number, invitation):
        # In a list, it is brought to a node only when it is asked for there.
        task = self.task.remote(self.guide.spec, [self.program], invitation)
        task.future().add_done_callback(lambda done: self.guide.events.put(("ended", number, (task, self.end(done)))))
        return task

    def end(self, done):
        """Why it hasn't joined, or None."""
        error = done.exception()
        return done.result() if error is None else f"{type(error).__name__}: {error}".splitlines()[0]

    def drop(self, number, task, has_begun):
        """Whether nothing more will be heard of it."""
        # Its process is killed, if it has one, and an outpost leaves with that.
        self.ray.cancel(task, force=True)
        return False

    def why(self):
        """What tasks wait for."""
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        fits = [all(node.get(name, 0) >= amount for name, amount in self.wanted.items()) for node in nodes]
        if any(fits):
            return "no node has that free"
        return "no node is large enough"

    def forget(self, number):
        """Nothing is kept."""

    def again(self, waiting):
        """Ray chooses nodes when they have room."""

    def close(self):
        self.ray.shutdown()
