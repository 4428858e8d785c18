"""asyncio. usage: core.py CASE [N] [uvloop]

yield N | create | parked N | timers | sleepers | sleep | ping-pong | pipeline |
lock N | group | thread | process
"""
import asyncio
import os
import queue
import random
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

WINDOWS = 5
PATIENCE = 10  # seconds: after so long no window begins, but for the first one


def report(name, figure, unit="ns"):
    print(name, f"{figure:.3f}", unit, "", sep="\t", flush=True)


async def measure(name, operations, body, unit="ns", clock=time.monotonic_ns):
    figures = []
    began = time.monotonic()
    await body()
    while not figures or len(figures) < WINDOWS and time.monotonic() < began + PATIENCE:
        start = clock()
        await body()
        figures.append((clock() - start) / operations)
    report(name, statistics.median(figures), unit)


class Ticks:
    """Counts what several tasks do in turn; the program ends with it."""

    def __init__(self, name, operations, warm_up):
        self.name, self.operations, self.next = name, operations, warm_up
        self.count, self.start, self.figures = 0, 0, []

    def tick(self):
        self.count += 1
        if self.count == self.next:
            self.end_window()

    def end_window(self):
        now = time.monotonic_ns()
        if self.start:
            self.figures.append((now - self.start) / self.operations)
        if len(self.figures) == WINDOWS:
            report(self.name, statistics.median(self.figures))
            os._exit(0)
        self.next, self.start = self.count + self.operations, time.monotonic_ns()


async def end():
    pass


async def yield_once():
    await asyncio.sleep(0)


async def crowd(n, body):
    for task in [asyncio.create_task(body()) for _ in range(n)]:
        await task


async def yields(n):
    ticks = Ticks(f"yield {n}", 500000, 2 * n + 20000)

    async def yielder():
        while True:
            ticks.tick()
            await asyncio.sleep(0)

    await crowd(n, yielder)


async def create(_):
    async def one_by_one():
        for _ in range(200000):
            await asyncio.create_task(end())

    start = time.monotonic_ns()
    await crowd(100000, yield_once)
    report("create+await 100000, fresh", (time.monotonic_ns() - start) / 100000)
    await measure("create+await 100000, warm", 100000, lambda: crowd(100000, yield_once))
    await measure("create+await 100000", 100000, lambda: crowd(100000, end))
    await measure("create+await 1", 200000, one_by_one)


async def group(_):
    async def groups(body):
        for _ in range(100):
            async with asyncio.TaskGroup() as children:
                for _ in range(1000):
                    children.create_task(body())

    await measure("group of 1000 that end", 100000, lambda: groups(end))
    await measure("group of 1000 that yield", 100000, lambda: groups(yield_once))


def rss():
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))


async def parked(n):
    before, start = rss(), time.monotonic_ns()
    tasks = [asyncio.create_task(asyncio.sleep(36000)) for _ in range(n)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    took = time.monotonic_ns() - start
    report(f"parked {n}: create", took / len(tasks))
    report(f"parked {n}: memory", (rss() - before) / n, "B/task")
    os._exit(0)


async def set_and_cancel(delays):
    loop = asyncio.get_running_loop()
    for handle in [loop.call_later(delay, int) for delay in delays]:
        handle.cancel()
    await asyncio.sleep(0)


async def set_and_wait(delays):
    loop = asyncio.get_running_loop()
    done, left = loop.create_future(), len(delays)

    def expire():
        nonlocal left
        left -= 1
        if not left:
            done.set_result(None)

    for delay in delays:
        loop.call_later(delay, expire)
    await done


async def churn(handles, changes):
    loop = asyncio.get_running_loop()
    for i, (which, delay) in enumerate(changes):
        handles[which].cancel()
        handles[which] = loop.call_later(delay, int)
        if not i % 1024:
            await asyncio.sleep(0)  # which takes the cancelled ones out


async def timers(_):
    minute = [random.randrange(60000) / 1000 for _ in range(1000000)]
    second = [random.randrange(1000) / 1000 for _ in range(1000000)]
    changes = [(random.randrange(10000), random.uniform(1, 60)) for _ in range(500000)]
    loop = asyncio.get_running_loop()
    await measure("timers: set+cancel 1000000", 1000000, lambda: set_and_cancel(minute))
    await measure("timers: expire 1000000", 1000000, lambda: set_and_wait(second),
                  "ns CPU", time.process_time_ns)
    handles = [loop.call_later(random.uniform(1, 60), int) for _ in range(10000)]
    await measure("timers: churn 10000", 500000, lambda: churn(handles, changes))
    os._exit(0)


async def sleepers(_):
    await measure("sleepers: expire 100000", 100000,
                  lambda: crowd(100000, lambda: asyncio.sleep(random.random())),
                  "ns CPU", time.process_time_ns)


async def sleep(_):
    for us in 50, 200, 1000, 10000:
        late, used = [], time.process_time_ns()
        for _ in range(200):
            start = time.monotonic_ns()
            await asyncio.sleep(us / 1e6)
            late.append(time.monotonic_ns() - start - us * 1000)
        used = time.process_time_ns() - used
        late.sort()
        report(f"sleep {us} us: late, p50", late[100])
        report(f"sleep {us} us: late, p99", late[198])
        report(f"sleep {us} us: processor", used / 200, "ns CPU")


async def ping_pong(_):
    there, back = asyncio.Queue(1), asyncio.Queue(1)
    ticks = Ticks("queue ping-pong", 200000, 10000)

    async def pong():
        while True:
            item = await there.get()
            ticks.tick()
            await back.put(item)

    other = asyncio.create_task(pong())
    while not other.done():
        await there.put(1)
        await back.get()
        ticks.tick()


async def pipeline(_):
    items = asyncio.Queue(128)
    ticks = Ticks("queue pipeline", 500000, 10000)

    async def consume():
        while True:
            await items.get()
            ticks.tick()

    other = asyncio.create_task(consume())
    while not other.done():
        await items.put(1)


async def lock(n):
    mutex = asyncio.Lock()
    ticks = Ticks(f"lock hand-over {n}", 200000, 2 * n + 20000)

    async def user():
        while True:
            async with mutex:
                if not ticks.count:
                    await asyncio.sleep(0)
                ticks.tick()

    await crowd(n, user)


async def posts():
    loop = asyncio.get_running_loop()
    done, left = loop.create_future(), 100000

    def take():
        nonlocal left
        left -= 1
        if not left:
            done.set_result(None)

    def post():
        os.sched_setaffinity(0, {1})
        for _ in range(100000):
            loop.call_soon_threadsafe(take)

    poster = threading.Thread(target=post)
    poster.start()
    await done
    poster.join()


def nothing():
    pass


async def jobs():
    for _ in range(2000):
        await asyncio.to_thread(nothing)


async def thread(_):
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1, initializer=os.sched_setaffinity,
                                                 initargs=(0, {1})))
    asked = queue.SimpleQueue()
    os.sched_setaffinity(0, {0})

    def answer():
        os.sched_setaffinity(0, {1})
        while True:
            loop.call_soon_threadsafe(asked.get().set_result, None)

    async def trips():
        for _ in range(5000):
            answered = loop.create_future()
            asked.put(answered)
            await answered

    await measure("thread: post", 100000, posts)
    await measure("thread: job", 2000, jobs)
    threading.Thread(target=answer, daemon=True).start()
    await measure("thread: round trip", 5000, trips)
    os._exit(0)


async def process(_):
    async def start_and_wait():
        for _ in range(50):
            await (await asyncio.create_subprocess_exec("/bin/true")).wait()

    await measure("start+wait", 50, start_and_wait)


CASES = {"yield": yields, "create": create, "parked": parked, "timers": timers,
         "sleepers": sleepers, "sleep": sleep, "ping-pong": ping_pong,
         "pipeline": pipeline, "lock": lock, "group": group, "thread": thread,
         "process": process}

arguments = [word for word in sys.argv[1:] if word != "uvloop"]
if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(CASES[arguments[0]](int(arguments[1]) if arguments[1:] else 0))
