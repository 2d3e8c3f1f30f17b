"""The record of a comparison and how it looks: table, bar chart, progress bar, JSON, PNG.

rich, matplotlib and importlib.metadata are imported where they are used: they are too heavy for
`import jit`.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jit.agreement import Error
from jit.measure import Timing

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

SUBJECT = "relume"
BAR_WIDTH = 40
EIGHTHS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True, slots=True)
class Row:
    """One way to run the function. Times are microseconds a call, speed-ups ratios to eager."""

    name: str
    timing: Timing | None = None
    error: Error | None = None
    ready_ms: float | None = None
    note: str = ""

    @property
    def median_us(self) -> float | None:
        """Median time of a call."""
        return self.timing.us.median if self.timing else None

    @property
    def speedup(self) -> float | None:
        """Median of the per-round ratios to eager."""
        return self.timing.speedup.median if self.timing else None

    @property
    def max_error(self) -> float | None:
        """Largest difference from the reference."""
        return self.error.absolute if self.error else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The rows of one comparison, eager first, then the subject, then the peers."""

    title: str
    reference: str
    threads: int
    rounds: int
    rows: tuple[Row, ...]

    def __getitem__(self, name: str) -> Row:
        """The row of a name."""
        return next(row for row in self.rows if row.name == name)

    @property
    def agrees(self) -> bool:
        """Whether the compiled function was checked and found right (its row was timed)."""
        return all(row.timing is not None for row in self.rows if row.name in ("eager", SUBJECT))

    def table(self) -> str:
        """The table and the bar chart as plain text."""
        return text(self)

    def to_json(self) -> str:
        """All figures, with the versions that made them."""
        return to_json([self])


def to_json(comparisons: Sequence[Comparison]) -> str:
    """All figures of several comparisons, with the versions that made them."""
    made = {"versions": versions(), "comparisons": [asdict(c) for c in comparisons]}
    return json.dumps(made, indent=1)


def versions() -> dict[str, str]:
    """What made the figures: processor, Python, and the packages that take part."""
    from importlib import metadata

    names = ("relume", "torch", "llvmlite", "numpy", "numba", "numexpr", "jax")
    found = {d.metadata["Name"]: d.version for d in metadata.distributions()}
    made = {name: found[name] for name in names if name in found}
    return {"machine": platform.machine(), "python": platform.python_version()} | made


def show(comparison: Comparison) -> None:
    """Prints the table and the bar chart."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=110)
    _print(console, comparison)


def text(comparison: Comparison) -> str:
    """The table and the bar chart as plain text."""
    from rich.console import Console

    console = Console(width=110, color_system=None, force_terminal=False)
    with console.capture() as capture:
        _print(console, comparison)
    return capture.get()


def _print(console: Console, comparison: Comparison) -> None:
    console.print(_table(comparison))
    for line in _bars(comparison.rows):
        console.print(line, highlight=False)
    console.print()


def _table(comparison: Comparison) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    threads = f"{comparison.threads} thread" + "s" * (comparison.threads != 1)
    table = Table(
        title=Text(comparison.title),
        caption=f"reference: {comparison.reference}; {threads}; {comparison.rounds} rounds",
        caption_justify="left",
        title_justify="left",
    )
    for heading in ("", "time", "quartiles", "speed-up", "max error", "ready after"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    table.add_column("note")
    for row in comparison.rows:
        cells = [row.name, *_figures(row), row.note]
        table.add_row(*map(Text, cells), style=None if row.timing else "dim")
    return table


def _figures(row: Row) -> list[str]:
    error = "" if row.max_error is None else f"{row.max_error:.1e}"
    ready = "" if row.ready_ms is None else duration(row.ready_ms * 1e3)
    if row.timing is None:
        return ["", "", "", error, ready]
    us, speedup = row.timing.us, row.timing.speedup.median
    spread = f"{duration(us.low)} .. {duration(us.high)}"
    return [duration(us.median), spread, f"{speedup:.2f}x", error, ready]


def duration(us: float) -> str:
    """Microseconds with three digits and a fitting unit."""
    for limit, scale, unit in ((1.0, 1e3, "ns"), (1e3, 1.0, "us"), (1e6, 1e-3, "ms")):
        if us < limit:
            return f"{us * scale:.3g} {unit}"
    return f"{us / 1e6:.3g} s"


def _bars(rows: Sequence[Row]) -> Iterator[str]:
    """One bar per timed row, as long as its speed-up over eager."""
    timed = [(row.name, row.timing.speedup.median) for row in rows if row.timing]
    if not timed:
        return
    longest = max(speedup for _, speedup in timed)
    width = max(len(name) for name, _ in timed)
    for name, speedup in timed:
        yield f"  {name:<{width}} {bar(speedup / longest):<{BAR_WIDTH}} {speedup:.2f}x"


def bar(fraction: float, width: int = BAR_WIDTH) -> str:
    """A bar of block characters, an eighth of a column exact; never empty."""
    full, eighth = divmod(max(1, round(fraction * width * 8)), 8)
    return EIGHTHS[8] * full + EIGHTHS[eighth].strip()


@contextmanager
def progress(total: int, wanted: bool) -> Iterator[Callable[[str], None]]:
    """A progress bar on a terminal; yields the function that makes one step, with its text."""
    if not (wanted and sys.stderr.isatty()):
        yield lambda text: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=total)
        yield lambda text: shown.update(task, advance=1, description=f"{text:<14}")


def write(path: str | Path, content: str) -> None:
    """Writes a text file, and makes its folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content + "\n")


def save_png(comparisons: Sequence[Comparison], path: str | Path) -> None:
    """One panel of bars per comparison: speed-up over eager, whiskers from quartile to quartile."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        message = "the PNG needs matplotlib: pip install 'relume[bench]'"
        raise ModuleNotFoundError(message, name=error.name) from error

    timed = [[r for r in c.rows if r.timing] for c in comparisons]
    figure = Figure(
        figsize=(8, sum(0.8 + 0.35 * len(rows) for rows in timed)), layout="constrained"
    )
    heights = [len(rows) + 2 for rows in timed]
    axes = figure.subplots(len(comparisons), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, comparison, rows in zip(axes, comparisons, timed, strict=True):
        spans = [r.timing.speedup for r in rows if r.timing]
        medians = [s.median for s in spans]
        whiskers = [[s.median - s.low for s in spans], [s.high - s.median for s in spans]]
        colors = ["tab:orange" if r.name == SUBJECT else "tab:gray" for r in rows]
        axis.barh([r.name for r in rows], medians, xerr=whiskers, color=colors)
        axis.invert_yaxis()
        axis.axvline(1.0, color="black", linewidth=0.8)
        axis.set_title(comparison.title, loc="left", fontsize="medium")
        axis.set_xlabel("speed-up over eager")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
