"""Figures of many rounds: medians, spreads, who is ahead; as a table and as JSON."""
import json
import math
import platform
import statistics
import sys
import time

OURS = "ours"
STACKLESS = {"tokio", "asyncio", "uvloop"}  # their tasks suspend in one function only


def number(figure):
    """Three digits that count, at least; all of those before the point."""
    return f"{figure:,.0f}" if abs(figure) >= 1000 else f"{figure:.4g}"


class Row:
    """One thing that was measured: the figures of each that did it."""

    def __init__(self, case, name, unit):
        self.case, self.name, self.unit = case, name, unit
        self.figures = {}  # who: one a round
        self.limits = set()

    @property
    def more_is_better(self):
        return self.unit == "/s"

    def median(self, who):
        return statistics.median(self.figures[who])

    def order(self):
        return sorted(self.figures, key=self.median, reverse=self.more_is_better)

    def best_peer(self, but=()):
        peers = [who for who in self.order() if who not in self.limits and who not in but
                 and not who.startswith(OURS) and self.median(who) > 0]
        return peers[0] if peers else None

    def advantage(self, who, over):
        """How many times as good, in the median of the rounds; above 1 is ahead. None if
        a figure is 0 or less."""
        mine, theirs = self.figures[who], self.figures[over]
        if len(mine) != len(theirs):
            mine, theirs = [self.median(who)], [self.median(over)]
        if min(*mine, *theirs) <= 0:
            return None
        return statistics.median(m / t if self.more_is_better else t / m
                                 for m, t in zip(mine, theirs))

    def compare(self, who, other):
        times = self.advantage(who, other)
        return f"ahead of {other}, {times:.2f} x" if times >= 1 else \
            f"BEHIND {other}, {1 / times:.2f} x"

    def verdict(self):
        ours = [who for who in self.order() if who.startswith(OURS)]
        best = self.best_peer()
        if not ours or not best:
            return "not compared: " + ("no peer has it" if ours else "ours are missing")
        times = self.advantage(ours[0], best)
        if times is None:
            return f"not compared with {best}: a figure is not above 0"
        words = "; ".join((f"{who}: " if len(ours) > 1 else "") + self.compare(who, best)
                          for who in ours if self.advantage(who, best))
        if times < 1 and best in STACKLESS and self.best_peer(but=STACKLESS):
            best = self.best_peer(but=STACKLESS)
            words += f"; of those that give a task a stack: {self.compare(ours[0], best)}"
        for limit in sorted(self.limits & set(self.figures)):
            share = self.advantage(ours[0], limit)
            words += f"; {share:.2f} x as good as {limit}" if share else ""
        return words


class Figures:
    """All rows, in the order in which they came."""

    def __init__(self):
        self.rows = {}
        self.others = None  # of another run: about it, and what was missing there

    def add(self, job, figures):
        for name, figure, unit in figures:
            if not math.isfinite(figure):
                print(f"missing: {name}, {job.who}: it could not be measured")
                continue
            row = self.rows.setdefault(name, Row(job.case, name, unit))
            row.figures.setdefault(job.who, []).append(figure)
            if job.limit:
                row.limits.add(job.who)

    def read_json(self, path, cases):
        """The rows of these cases, as write_json wrote them in another run on this machine."""
        with open(path, encoding="utf-8") as file:
            self.others = json.load(file)
        if any(self.others[what] != about()[what] for what in ("processor", "kernel")):
            raise ValueError("it is of another machine")
        for row in self.others.pop("rows"):
            if row["case"] in cases:
                read = self.rows[row["name"]] = Row(row["case"], row["name"], row["unit"])
                read.figures, read.limits = row["figures"], set(row["limits"])

    def sort(self, cases):
        self.rows = dict(sorted(self.rows.items(), key=lambda item: cases.index(item[1].case)))

    def print_table(self):
        print(f"{'case':36} {'who':15} {'median':>12} {'min .. max':>25} {'unit':7} "
              f"{'to the best peer':>16}")
        for row in self.rows.values():
            best = row.best_peer()
            for who in row.order():
                times = row.advantage(who, best) if best else None
                ratio = f"{times:.2f} x" if times else "-"
                figures = row.figures[who]
                spread = f"{number(min(figures))} .. {number(max(figures))}"
                print(f"{row.name:36} {who:15} {number(row.median(who)):>12} {spread:>25} "
                      f"{row.unit:7} {ratio:>16}{' (a limit)' if who in row.limits else ''}")

    def print_verdicts(self):
        for row in self.rows.values():
            print(f"{row.name}: {row.verdict()}")

    def write_json(self, path, missing):
        rows = [{"case": row.case, "name": row.name, "unit": row.unit,
                 "limits": sorted(row.limits), "figures": row.figures,
                 "medians": {who: row.median(who) for who in row.figures}}
                for row in self.rows.values()]
        with open(path, "w", encoding="utf-8") as file:
            json.dump({**about(), "missing": missing, "others": self.others, "rows": rows},
                      file, indent=1)
            file.write("\n")


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()


def about():
    """When, where and by which command."""
    return {"date": time.strftime("%Y-%m-%d"), "processor": processor(),
            "kernel": f"{platform.system()} {platform.release()}",
            "command": " ".join(["tests/bench/run", *sys.argv[1:]])}
