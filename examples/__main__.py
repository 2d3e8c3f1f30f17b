"""`python -m examples`: develops the photograph, then compares every example with its peers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from examples import black_scholes, layer_norm, masked_softmax, newton, photo
from jit.comparison import PEERS, use_cores
from jit.report import SUBJECT, Comparison, save_png, to_json, write
from jit.workload import Workload, find_all

MODULES = (photo, black_scholes, masked_softmax, layer_norm, newton)


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser("python -m examples", description=__doc__)
    made.add_argument("--against", metavar="A,B,...", default=",".join(PEERS), help="%(default)s")
    made.add_argument("--rounds", type=int, default=11, metavar="N", help="default: %(default)s")
    made.add_argument("--threads", type=int, metavar="N", help="use N cores; default: all")
    made.add_argument("--out", type=Path, default=photo.OUT, help="default: %(default)s")
    return made


def summary(comparisons: Sequence[Comparison]) -> Table:
    """One line per example: our speed-up over eager beside the best peer's."""
    table = Table(title="speed-up over eager", title_justify="left")
    for heading in ("example", SUBJECT, "best peer", ""):
        table.add_column(heading, justify="right" if heading in (SUBJECT, "best peer") else "left")
    for comparison in comparisons:
        peers = [
            (row.speedup, row.name)
            for row in comparison.rows
            if row.speedup is not None and row.name not in ("eager", SUBJECT)
        ]
        best, name = max(peers, default=(None, ""))
        ours = comparison[SUBJECT].speedup
        table.add_row(comparison.title.partition(":")[0], _times(ours), _times(best), name)
    return table


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}x"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs all examples; the exit code is 1 when a compiled function disagrees with eager."""
    options = parser().parse_args(argv)
    if options.threads:
        use_cores(options.threads)
    console = Console()
    pictures = photo.save_pictures(options.out)
    works: list[Workload] = [work for module in MODULES for work in find_all(module)]
    made = [work.compare(options.against.split(","), options.rounds) for work in works]
    console.print(summary(made))
    figures, chart = options.out / "compare.json", options.out / "compare.png"
    write(figures, to_json(made))
    save_png(made, chart)
    for what, path in (
        ("photograph", pictures[0]),
        ("developed", pictures[1]),
        ("figures", figures),
        ("chart", chart),
    ):
        console.print(f"{what:<11}{path.resolve()}", highlight=False, soft_wrap=True)
    return 0 if all(comparison.agrees for comparison in made) else 1


if __name__ == "__main__":
    sys.exit(main())
