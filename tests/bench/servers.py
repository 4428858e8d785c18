"""Servers under load: each job starts one, drives it, and gives its figures."""
import contextlib
import csv
import glob
import os
import re
import signal
import socket
import subprocess
import time


class Failed(Exception):
    """A program did not do what it should."""


def free_port():
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def await_port(port, server):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise Failed(f"{server.args[3]} does not listen")


@contextlib.contextmanager
def serving(argv, core, cwd=None):
    """A server on a port and a core; PORT among its words is replaced."""
    port = free_port()
    words = ["taskset", "-c", str(core), *[word.replace("PORT", str(port)) for word in argv]]
    env = {**os.environ, "GOMAXPROCS": "1"}
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          cwd=cwd, env=env) as server:
        try:
            await_port(port, server)
            yield server, port
        finally:
            server.send_signal(signal.SIGKILL)


def cpu_us(pid):
    """Processor time of all threads of a process."""
    total = 0
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        with contextlib.suppress(OSError), open(path, encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total / 1000


def drive(argv, core, timeout):
    done = subprocess.run(["taskset", "-c", str(core), *argv], check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
    if done.returncode:
        raise Failed(f"{argv[0]}: {(done.stderr or done.stdout).strip()[-200:]}")
    return done.stdout


def echo(server, load, connections, cores, seconds):
    """requests/s, latencies, and the server's processor time a request."""
    with serving(server, 0) as (process, port):
        words = [*load, str(connections), str(seconds), f"{port}:{process.pid}"]
        output = drive(words, cores - 1, 2 * seconds + connections / 100 + 60)
    rate, p50, p99, cpu = map(float, output.split())
    where = f"echo {connections}, {'one core' if cores == 1 else 'two cores'}"
    return [(f"{where}: processor", cpu, "us CPU"), (f"{where}: rate", rate, "/s"),
            (f"{where}: p50", p50, "us"), (f"{where}: p99", p99, "us")]


def wrk_us(output, quantile):
    number, unit = re.search(rf"\b{quantile}%\s+([\d.]+)(us|ms|s)", output).groups()
    return float(number) * {"us": 1, "ms": 1000, "s": 1000000}[unit]


def http(server, load, folder, seconds):
    """A file of 1 KB, to 64 connections, by wrk on the other core."""
    with serving(server, 0, folder) as (process, port):
        url = f"http://127.0.0.1:{port}/1k.txt"
        words = [*load, "-t1", "-c64", "--latency", url]
        drive([*words, "-d1"], 1, 60)
        before = cpu_us(process.pid)
        output = drive([*words, f"-d{seconds:.0f}"], 1, seconds + 60)
        cpu = cpu_us(process.pid) - before
    if "Non-2xx" in output or "Socket errors" in output:
        raise Failed(f"{server[0]}: wrk had errors")
    n = int(re.search(r"(\d+) requests in", output).group(1))
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1))
    return [("http 1 KB: processor", cpu / n, "us CPU"), ("http 1 KB: rate", rate, "/s"),
            ("http 1 KB: p50", wrk_us(output, 50), "us"),
            ("http 1 KB: p99", wrk_us(output, 99), "us")]


def redis(server, load, requests):
    """SET and GET from 50 connections by redis-benchmark, pipelined and not."""
    figures = []
    with serving(server, 0) as (process, port):
        for command in "SET", "GET":
            for pipeline in 1, 16:
                n = requests * pipeline
                words = [*load, "-p", str(port), "-t", command.lower(), "-n", str(n),
                         "-c", "50", "-P", str(pipeline), "-r", "10000", "--csv"]
                before = cpu_us(process.pid)
                rows = list(csv.reader(drive(words, 1, 120).splitlines()))
                cpu = cpu_us(process.pid) - before
                rate = next(float(row[1]) for row in rows if row and row[0] == command)
                name = f"redis {command}, pipeline {pipeline}"
                figures += [(f"{name}: processor", cpu / n, "us CPU"),
                            (f"{name}: rate", rate, "/s")]
    return figures
