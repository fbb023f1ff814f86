def dask_task(name, ident, spec, guides_client):
    """An outpost, on a worker of Dask's, which talks with the guide over queues. Why it hasn't joined, or None."""
    import asyncio
    from distributed import Queue, get_client

    client = get_client()
    guide, own = Queue(name, client=client), Queue(f"{name}-{ident}", client=client)

    def ask(what):
        guide.put([ident, what])
        for _ in range(60):
            try:
                return own.get(timeout=5)
            except (TimeoutError, asyncio.TimeoutError):
                if not client.run_on_scheduler(is_there, guides_client):
                    # It was about to leave when this began, and didn't see these queues.
                    client.run_on_scheduler(remove_queues, name)
                    return None
        raise TimeoutError("the guide hasn't answered for 300 s")

    def is_dropped():
        try:
            return own.get(timeout=0.1) is None
        except (TimeoutError, asyncio.TimeoutError):
            return False

    # Dask begins a task again when its worker is lost. There is an invitation for the first time only.
    invitation = ask("begun")
    if invitation is None:
        return "its worker was lost, or nobody waits for it any more"
    return outpost(spec, keep(spec, lambda: ask("program")), invitation, is_dropped)


def is_there(client, dask_scheduler):
    """Whether the scheduler has this client."""
    return client in dask_scheduler.clients


def remove_queues(name, dask_scheduler):
    """Removes all queues that were of this guide, also those of workers that were killed."""
    extension = dask_scheduler.extensions["queues"]
    for queue_name in [queue_name for queue_name in extension.queues if queue_name.startswith(name)]:
        extension.queues.pop(queue_name, None)
        extension.client_refcount.pop(queue_name, None)


class Cluster:
    """One of Dask's."""

    def __init__(self, guide):
        distributed = package("distributed", "Dask")  # noqa: F821, it is in the text behind
        spec = guide.spec
        self.guide, self.distributed, self.address = guide, distributed, spec["address"]
        self.name, self.count = f"{spec['job']}-{os.urandom(8).hex()}", 0
        # A number has one task at a time, which has an ident, an invitation until it has begun, and a queue.
        self.idents, self.numbers, self.invitations, self.queues = {}, {}, {}, {}
        self.resources = {"CORES": spec["cores"], "MEMORY": spec["memory"]}
        self.resources = {name: amount for name, amount in self.resources.items() if amount}
        where = {"scheduler_file": self.address} if self.address.endswith(".json") else {"address": self.address}
        try:
            self.client = distributed.Client(**where, timeout=5, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise RuntimeError(f"Dask's scheduler can't be reached at {self.address}: {error}") from None
        self.inbox = distributed.Queue(self.name, client=self.client)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        """Hears what tasks say."""
        try:
            while True:
                ident, what = self.inbox.get()
                self.guide.events.put(("asked", ident, what))
        except Exception as error:
            why = f"Dask's scheduler at {self.address} is lost: {error or type(error).__name__}"
            self.guide.events.put(("failed", None, why))

    def answer(self, ident, what):
        """Gives a task what it asks for; the number of one that has begun."""
        if what == "program":
            with open(self.guide.spec["program"], "rb") as program:
                self.tell(ident, program.read())
            return None
        invitation = self.invitations.pop(ident, None)
        self.tell(ident, invitation)
        return self.numbers.get(ident) if invitation else None

    def tell(self, ident, what):
        self.queue(ident).put(what)

    def queue(self, ident):
        if ident not in self.queues:
            self.queues[ident] = self.distributed.Queue(f"{self.name}-{ident}", client=self.client)
        return self.queues[ident]

    def start(self, number, invitation):
        self.count += 1
        ident = self.count
        self.idents[number], self.numbers[ident], self.invitations[ident] = ident, number, invitation
        self.queue(ident)
        key = f"{self.name}-{ident}"
        task = self.client.submit(
            dask_task,
            self.name,
            ident,
            self.guide.spec,
            self.client.id,
            key=key,
            pure=False,
            retries=0,
            resources=self.resources or None,
        )
        task.add_done_callback(lambda task: self.guide.events.put(("ended", number, (task, self.end(task)))))
        return task

    def end(self, task):
        """Why it hasn't joined, or None."""
        if task.status == "finished":
            return task.result()
        if task.status == "error":
            error = task.exception()
            return f"{type(error).__name__}: {error}"
        return f"Dask has given the task up ({task.status})"

    def forget(self, number):
        """The invitation, if it has none had."""
        ident = self.idents.pop(number)
        self.numbers.pop(ident)
        self.queues.pop(ident).close()
        return self.invitations.pop(ident, None)

    def drop(self, number, task, has_begun):
        """Whether nothing more will be heard of it."""
        if has_begun:
            # It asks until it has joined.
            self.tell(self.idents[number], None)
            return False
        self.forget(number)
        task.cancel()
        return True

    def why(self):
        """What tasks wait for."""
        workers = self.client.scheduler_info(n_workers=-1)["workers"]
        if not workers:
            return "no worker"
        offered = [worker.get("resources", {}) for worker in workers.values()]
        lacking = [
            name for name, amount in self.resources.items() if not any(it.get(name, 0) >= amount for it in offered)
        ]
        return f"no worker offers so much {' and '.join(lacking)}" if lacking else "no free thread"

    def again(self, waiting):
        """One that waits for a busy worker although another one isn't. Dask itself moves no task that it takes for long."""
        taken = self.client.processing()
        threads = self.client.nthreads()
        keys = {key for keys in taken.values() for key in keys}
        if any(len(taken.get(worker, ())) < count for worker, count in threads.items()):
            return next((number for number in waiting if f"{self.name}-{self.idents[number]}" in keys), None)
        return None

    def close(self):
        self.client.run_on_scheduler(remove_queues, self.name)
        self.client.close(timeout=5)
