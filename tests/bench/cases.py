"""What is measured: for each case, who does it, by which call."""
import functools
import os
import subprocess
from dataclasses import dataclass
from typing import Callable

import servers
from programs import PROGRAMS

CORE = 1  # the first one has the interrupts


@dataclass(frozen=True)
class Job:
    """One process, or server and load, to be run once a round."""

    case: str
    who: str
    limit: bool
    run: Callable  # gives (row, figure, unit) of each figure


def run_program(argv, env):
    """A benchmark's rows: name, figure, unit, note, separated by tabs."""
    done = subprocess.run(argv, check=False, text=True, timeout=600, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env={**os.environ, **env})
    rows = [line.split("\t") for line in done.stdout.splitlines() if line.count("\t") == 3]
    if done.returncode or not rows:
        raise servers.Failed(f"{' '.join(argv)}: {done.stderr.strip()[-200:] or 'failed'}")
    return [(name, float(figure), unit) for name, figure, unit, _ in rows]


class Cases:
    """The jobs of each case: ours first. Missing peers are left out (and named)."""

    def __init__(self, builder, options):
        self.builder, self.options = builder, options

    def jobs(self, case):
        return list(getattr(self, f"case_{case}")(case))

    def programs(self, case, ours, peers, words="", pinned=True):
        """Ours: programs with arguments; peers: keys, all called with `words`."""
        env = {"BENCH_FORM": "tabs", "GOMAXPROCS": "1" if pinned else "2"}
        pin = ["taskset", "-c", str(CORE)] if pinned else []
        for program in ours:
            name, *arguments = program.split()
            argv = self.builder.our(name)
            if not argv:
                raise SystemExit(f"run: no {name} in the build: cmake -DTASK_BENCH=ON")
            run = functools.partial(run_program, [*pin, *argv, *arguments], env)
            yield Job(case, "ours", False, run)
        for key in peers.split():
            argv, peer = self.builder.call(key), PROGRAMS[key]
            if argv:
                last = ["uvloop"] if key == "uvloop" else []
                run = functools.partial(run_program, [*pin, *argv, *words.split(), *last], env)
                yield Job(case, peer.name, peer.limit, run)

    def case_switch(self, case):
        yield from self.programs(case, ["switch"], "asm ucontext")
        yield from self.programs(case, [], "fiber", "switch")

    def case_yield(self, case):
        for n in 2, 1000, 100000:
            yield from self.programs(case, [f"yield {n}"],
                                     "by_hand st fiber go tokio asyncio uvloop", f"yield {n}")

    def case_create(self, case):
        yield from self.programs(case, ["spawn"], "by_hand st fiber go tokio asyncio uvloop",
                                 "create")

    def case_parked(self, case):
        for n in [100000, 1000000] if self.options.million else [100000]:
            yield from self.programs(case, [f"parked {n}"],
                                     "by_hand st fiber go tokio asyncio uvloop", f"parked {n}")

    def case_timers(self, case):
        yield from self.programs(case, ["timers"],
                                 "by_hand uv ev event go tokio asyncio uvloop", "timers")
        yield from self.programs(case, [], "st fiber go tokio asyncio uvloop", "sleepers")

    def case_sleep(self, case):
        """Not uvloop, whose sleeps of less than a millisecond end before their time."""
        yield from self.programs(case, ["sleep"], "by_hand st fiber go tokio asyncio", "sleep")

    def case_queue(self, case):
        who = "fiber go tokio asyncio uvloop"
        yield from self.programs(case, ["pingpong"], who, "ping-pong")
        yield from self.programs(case, ["pipeline"], who, "pipeline")

    def case_lock(self, case):
        """Not those whose locks go to whoever comes first, such as Go's and Boost's."""
        yield from self.programs(case, ["lock_handoff"], "")
        for n in 2, 100:
            yield from self.programs(case, [], "tokio asyncio uvloop", f"lock {n}")

    def case_group(self, case):
        yield from self.programs(case, ["group"], "go tokio asyncio uvloop", "group")

    def case_thread(self, case):
        """On two cores; the programs pin their threads."""
        yield from self.programs(case, ["remote"], "uv ev go tokio asyncio uvloop", "thread",
                                 pinned=False)

    def case_process(self, case):
        """posix_spawn is in our program, too, beside it in a large parent."""
        yield from self.programs(case, ["spawn_process", "spawn_process 1000"], "posix_spawn")
        yield from self.programs(case, [], "uv go tokio asyncio uvloop", "process")

    def under_load(self, case, ours, peers, measure):
        """Ours and peers: name to arguments, run as `measure(argv)`."""
        for who, (name, *arguments) in ours.items():
            argv = self.builder.our(name)
            if not argv:
                raise SystemExit(f"run: no {name} in the build: cmake -DTASK_BENCH=ON")
            yield Job(case, who, False, functools.partial(measure, [*argv, *arguments]))
        for key, arguments in peers.items():
            argv, peer = self.builder.call(key), PROGRAMS[key]
            if argv:
                run = functools.partial(measure, [*argv, *arguments])
                yield Job(case, peer.name, peer.limit, run)

    def case_echo(self, case):
        port = ["PORT"]
        peers = {"echo_epoll": port, "echo_epoll_level": ["PORT", "level"],
                 "echo_epoll_pages": ["PORT", "pages"], "echo_uv": port, "echo_st": port,
                 "echo_go": port, "tokio": ["echo", "PORT"], "echo_asyncio": port,
                 "echo_uvloop": ["PORT", "uvloop"]}
        ours = {"ours": ["echo", "PORT", "read"], "ours, streams": ["echo", "PORT", "stream"]}
        for cores in 1, 2:
            for n in self.options.connections:
                measure = functools.partial(servers.echo, load=self.builder.our("echo_load"),
                                            connections=n, cores=cores,
                                            seconds=self.options.seconds)
                yield from self.under_load(case, ours, peers, measure)

    def case_http(self, case):
        folder, load = self._web(), self.builder.call("wrk")
        if not load:
            return
        peers = {"nginx": ["PORT", folder], "http_go": ["PORT", folder]}
        ours = {"ours": ["examples/http_server", "PORT", folder]}
        measure = functools.partial(self._http, load=load, folder=folder)
        yield from self.under_load(case, ours, peers, measure)

    def _web(self):
        folder = os.path.join(self.builder.folder, "web")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "1k.txt"), "w", encoding="ascii") as file:
            file.write("x" * 1023 + "\n")
        return folder

    def _http(self, argv, load, folder):
        return servers.http(argv, load, folder, self.options.seconds)

    def case_redis(self, case):
        load = self.builder.call("redis-benchmark")
        if not load:
            return
        measure = functools.partial(servers.redis, load=load, requests=self.options.requests)
        ours = {"ours": ["examples/redis_server", "PORT"]}
        peers = {"redis": ["--port", "PORT", "--save", "", "--appendonly", "no"]}
        yield from self.under_load(case, ours, peers, measure)


CASES = ["switch", "yield", "create", "parked", "timers", "sleep", "queue", "lock", "group",
         "echo", "http", "redis", "thread", "process"]
