"""`python -m benchmarks`: ratios to eager and to the best peer, beside what is asked for."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import calls, elementwise, latency, reductions, scalars
from jit.comparison import PEERS, use_cores
from jit.report import SUBJECT, Comparison, versions, write
from jit.workload import Workload

GROUPS: dict[str, Callable[[], Iterator[Workload]]] = {
    "calls": calls.workloads,
    "elementwise": elementwise.workloads,
    "reductions": reductions.workloads,
    "scalars": scalars.workloads,
}
# What is asked for: geometric mean of the speed-up over eager on one core.
SPEEDUP = {"calls": 4.5, "elementwise": 8.0, "reductions": 3.5, "scalars": 30.0}
# Latencies: at most (or, where negative, at least) this much.
LIMITS = {
    ("first_call_cold", "relume_ms"): 60,
    ("first_call_cached", "relume_ms"): 10,
    ("stream", "compilations"): 2,
    ("stream", "speedup"): -3,
    ("uncompiled", "opaque_cost"): 1.3,
    ("uncompiled", "gradient_cost"): 1.3,
    ("import_time", "seconds"): 0.15,
}


@dataclass(frozen=True, slots=True)
class Summary:
    """One group: geometric means of the speed-up over eager, and the worst ratio to a best peer."""

    group: str
    speedup: float
    best_peer: float
    asked: float
    worst_ratio: float
    worst_at: str


def summarize(group: str, comparisons: Sequence[Comparison]) -> Summary:
    """The figures of a group, over the workloads where our result agreed."""
    ours, best, ratios = [], [], []
    for comparison in comparisons:
        speedup = comparison[SUBJECT].speedup
        peers = [r.speedup for r in comparison.rows if r.name != SUBJECT and r.speedup is not None]
        if speedup is not None:
            ours.append(speedup)
            best.append(max(peers))
            ratios.append((speedup / max(peers), comparison.title.partition(":")[0]))
    worst, at = min(ratios)
    means = statistics.geometric_mean(ours), statistics.geometric_mean(best)
    return Summary(group, *means, SPEEDUP[group], worst, at)


def tables(summaries: Sequence[Summary], latencies: dict[str, latency.Figures]) -> Iterator[Table]:
    """The tables of groups and latencies."""
    groups = Table("group", "speed-up", "asked", "best peer", "worst ratio to it", "at")
    for s in summaries:
        speedups = (f"{x:.2f}x" for x in (s.speedup, s.asked, s.best_peer, s.worst_ratio))
        groups.add_row(s.group, *speedups, s.worst_at)
    if summaries:
        yield groups
    figures = Table("latency", "figure", "measured", "asked")
    for name, measured in latencies.items():
        for figure, value in measured.items():
            limit = LIMITS.get((name, figure))
            asked = "" if limit is None else f"{'<=' if limit > 0 else '>='} {abs(limit):g}"
            figures.add_row(name, figure, f"{value:.3g}", asked)
    if latencies:
        yield figures


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    names = [*GROUPS, "latency"]
    made.add_argument("groups", nargs="*", choices=names, default=names, help="default: all")
    made.add_argument("--against", metavar="A,B,...", default=",".join(PEERS), help="%(default)s")
    made.add_argument("--rounds", type=int, default=9, metavar="N", help="default: %(default)s")
    made.add_argument("--threads", type=int, default=1, metavar="N", help="default: %(default)s")
    made.add_argument("--json", metavar="FILE", type=Path, help="write all figures")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints; the exit code is 1 when a result disagrees with eager."""
    options = parser().parse_args(argv)
    use_cores(options.threads)
    peers = options.against.split(",")
    made: dict[str, list[Comparison]] = {
        group: [work.compare(peers, options.rounds) for work in GROUPS[group]()]
        for group in options.groups
        if group in GROUPS
    }
    summaries = [summarize(group, comparisons) for group, comparisons in made.items()]
    latencies = latency.measure_all() if "latency" in options.groups else {}
    for shown in tables(summaries, latencies):
        Console().print(shown)
    if options.json:
        figures = {
            "versions": versions(),
            "threads": options.threads,
            "summaries": [asdict(s) for s in summaries],
            "latencies": latencies,
            "groups": {group: [asdict(c) for c in all_of] for group, all_of in made.items()},
        }
        write(options.json, json.dumps(figures, indent=1))
    return 0 if all(c.agrees for all_of in made.values() for c in all_of) else 1


if __name__ == "__main__":
    sys.exit(main())
