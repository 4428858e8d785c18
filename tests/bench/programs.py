"""Who is measured: our programs and the peers', how they are built, what they need."""
import os
import shutil
import subprocess
from dataclasses import dataclass

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = os.path.join(HERE, "peers")
PYTHON = "/usr/bin/python3"  # the one that packages of Debian are for
CC = "gcc -O2 -std=gnu11 -D_GNU_SOURCE -o {out} {peers}/"
CXX = "g++ -O2 -std=c++14 -o {out} {peers}/"
GO = "go build -o {out} {peers}/"
CARGO = ("mkdir -p {out}.d && cp -rp {peers}/tokio/. {out}.d && cd {out}.d && "
         "cargo build -q --release --offline")


@dataclass(frozen=True)
class Peer:
    """`build` makes {out}; without it, `call` is there or not. `limit`: not what
    one would use instead of ours, but as fast as it can be done by hand."""

    name: str
    packages: str
    build: str = ""
    call: str = "{out}"
    limit: bool = False


def in_c(name, source, library="", packages="", limit=False):
    libraries = "".join(f" -l{word}" for word in library.split())
    return Peer(name, f"gcc libc6-dev {packages}".strip(), CC + source + libraries, limit=limit)


PROGRAMS = {
    "asm": in_c("by hand", "switch_asm.c", limit=True),
    "by_hand": in_c("by hand", "by_hand.c", limit=True),
    "ucontext": in_c("swapcontext", "switch_ucontext.c"),
    "st": in_c("State Threads", "st.c", "st", "libst-dev"),
    "uv": in_c("libuv", "uv.c", "uv pthread", "libuv1-dev"),
    "ev": in_c("libev", "ev.c", "ev pthread", "libev-dev"),
    "event": in_c("libevent", "event.c", "event_core", "libevent-dev"),
    "fiber": Peer("Boost.Fiber", "g++ libboost-fiber-dev libboost-context-dev",
                  CXX + "fiber.cpp -lboost_fiber -lboost_context -lpthread"),
    "go": Peer("Go", "golang-go", GO + "core.go"),
    "tokio": Peer("tokio", "cargo librust-tokio-dev librust-libc-dev",
                  CARGO, "{out}.d/target/release/peer"),
    "asyncio": Peer("asyncio", "python3", call=PYTHON + " {peers}/core.py"),
    "uvloop": Peer("uvloop", "python3 python3-uvloop",
                   PYTHON + " -c 'import uvloop'", PYTHON + " {peers}/core.py"),
    "posix_spawn": in_c("posix_spawn", "process_posix.c", limit=True),
    "echo_epoll": in_c("epoll by hand", "echo_epoll.c", limit=True),
    "echo_epoll_level": in_c("epoll, level", "echo_epoll.c", limit=True),
    "echo_epoll_pages": in_c("epoll, pages", "echo_epoll.c", limit=True),
    "echo_st": in_c("State Threads", "echo_st.c", "st", "libst-dev"),
    "echo_uv": in_c("libuv", "echo_uv.c", "uv", "libuv1-dev"),
    "echo_go": Peer("Go", "golang-go", GO + "echo.go"),
    "echo_asyncio": Peer("asyncio", "python3", call=PYTHON + " {peers}/echo_asyncio.py"),
    "echo_uvloop": Peer("uvloop", "python3 python3-uvloop", PYTHON + " -c 'import uvloop'",
                        PYTHON + " {peers}/echo_asyncio.py"),
    "http_go": Peer("Go net/http", "golang-go", GO + "http.go"),
    "nginx": Peer("nginx", "nginx-light", "PATH=$PATH:/usr/sbin nginx -v", "{peers}/nginx.sh"),
    "redis": Peer("redis-server", "redis-server", call="redis-server"),
    "wrk": Peer("wrk", "wrk", call="wrk"),
    "redis-benchmark": Peer("redis-benchmark", "redis-tools", call="redis-benchmark"),
}


def install(keys):
    """Get the packages of these, by apt-get."""
    packages = sorted({word for key in keys for word in PROGRAMS[key].packages.split()})
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    subprocess.run([*sudo, "apt-get", "install", "-y", "--no-install-recommends", *packages],
                   check=True)


class Builder:
    """Builds each program once, in a folder; remembers those that cannot be."""

    def __init__(self, ours, folder):
        self.ours, self.folder = ours, folder
        self.calls = {}

    def call(self, key):
        """What starts a program, as a list of words; None if it is missing."""
        if key not in self.calls:
            self.calls[key] = self._make(PROGRAMS[key], key)
        return self.calls[key]

    def our(self, name):
        """The same for one of ours: a benchmark, or a path below the build."""
        path = os.path.join(self.ours, name if "/" in name else f"bench/{name}")
        return [path] if os.access(path, os.X_OK) else None

    def missing(self):
        """The names of those that were asked for and are not there."""
        return sorted({PROGRAMS[key].name for key, call in self.calls.items() if not call})

    def _make(self, peer, key):
        words = {"out": os.path.join(self.folder, key), "peers": PEERS}
        error = self._build(peer, words) if peer.build else ""
        call = peer.call.format(**words).split()
        if not error and not shutil.which(call[0]):
            error = f"no {call[0]}"
        if not error:
            return call
        print(f"missing: {peer.name} ({peer.packages}): {error}")
        return None

    def _build(self, peer, words):
        """An error, or nothing."""
        done = subprocess.run(peer.build.format(**words), shell=True, check=False,
                              text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        return "" if done.returncode == 0 else (lines or ["it cannot be built"])[-1].strip()
