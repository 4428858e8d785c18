"""What the cases of core.c take: instructions by Valgrind, or processor time."""
import os
import re
import subprocess

CASES = ["create", "yield", "park", "cancel", "timeout", "sleep", "timers", "expire", "queue",
         "lock", "group", "gather"]


def core(build):
    return os.path.join(build, "bench", "core")


def cpu_ns(build, case, n, rounds):
    """Nanoseconds of processor time an object."""
    words = [core(build), case, str(n), str(rounds)]
    return float(subprocess.run(words, check=True, text=True, stdout=subprocess.PIPE).stdout)


def instructions(build, case, n, rounds):
    """Instructions of a whole process, from its start to its end."""
    words = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
             core(build), case, str(n), str(rounds)]
    done = subprocess.run(words, check=True, text=True, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE)
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1))


def instructions_each(build, case, n, rounds):
    """Instructions an object, without what the process takes before and after."""
    least = instructions(build, case, n, rounds)
    return (instructions(build, case, n, 2 * rounds) - least) / (n * rounds)
