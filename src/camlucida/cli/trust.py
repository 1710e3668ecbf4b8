"""camlucida trust"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape

from camlucida.cli.arguments import TrustCode
from camlucida.cli.exit_codes import exit_code
from camlucida.cli.pictures import Bars, files_of, look_of, progress_bar, stems_of
from camlucida.cli.terminal import Terminal
from camlucida.errors import CamlucidaError

if TYPE_CHECKING:
    from camlucida.trusting import Trust

COLUMNS = (
    "image", "belief", "reasons", "target", "predicted", "probability", "choices", "p", "fall", "elsewhere",
    "edge", "middle", "next_class", "noise", "shifts", "method", "file", "error",
)  # fmt: skip


def trust(
    images: Annotated[list[str], Parameter(help="Pictures, or folders of pictures.", negative=())],
    /,
    *,
    model: str = "resnet50",
    arch: str | None = None,
    trust_code: TrustCode = False,
    labels: Path | None = None,
    target: str | None = None,
    layer: str | None = None,
    method: str = "grad_cam",
    moves: int = 128,
    seed: int = 0,
    opacity: float = 0.5,
    colormap: str | None = None,
    blend: str = "heat",
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("camlucida-out"),
) -> int:
    """Can the map of a picture be believed? A verdict in words, with every number.

    Is the model sure, or guessing? Does the place matter? Is the map about this class? Is it stable? Does the
    picture's edge decide? Writes a panel and a JSON for every picture; several pictures also give results.csv, in
    which a picture that cannot be read is a row. About 145 runs of the network a picture.

    Parameters
    ----------
    images
        Pictures, or folders of pictures.
    model
        A name (resnet50, timm:…, toybox), a checkpoint, or python:module:function. See `camlucida models`.
    arch
        What a checkpoint holds the weights of: resnet18, timm:…, python:….
    labels
        A text file with one class name a line.
    target
        A class name or index. The predicted class if not given.
    layer
        One layer; see `camlucida layers`.
    method
        grad_cam and its relatives, also combined, as in "refine(layer_cam)".
    moves
        In how many places the map is tried: 128, or for slow networks 64 or 32, which find less.
    seed
        Of every choice by chance.
    opacity
        Of the heat over the picture, 0 to 1.
    colormap
        jet, turbo, viridis, magma, or the default, which also serves the colour-blind.
    blend
        heat: the coat gets thicker with the heat; uniform: the same everywhere, as in the papers.
    output
        The folder to write to.
    """
    from camlucida.models.load import load
    from camlucida.trusting import trust_each

    console = Terminal()
    files = files_of(images, output)
    look = look_of(opacity, colormap, blend)
    stems = stems_of(files, output)
    with console.status(f"Loading {escape(model)} …"):
        loaded = load(model, arch=arch, trust_code=trust_code, labels=labels)
    rows: list[dict[str, Any]] = []
    found: Counter[str] = Counter()
    with progress_bar(console) as progress:
        bars = Bars(progress, len(files), "trust")
        how = {"method": method, "layer": layer, "target": target, "moves": moves, "seed": seed}
        for file, result in trust_each(loaded, files, **how, progress=bars.runs):
            name = Path(str(file)).name
            if isinstance(result, CamlucidaError):
                if len(files) == 1:
                    raise result
                rows.append({"image": str(file), "error": f"{type(result).__name__}: {result}"})
                console.print(f"[red]{escape(name)}[/]: {escape(str(result))}", highlight=False, soft_wrap=True)
            else:
                stem = output / f"{stems[Path(str(file))]}-trust"
                written = [*result.save(stem.with_name(f"{stem.name}.png"), **look)]
                written += result.save(stem.with_name(f"{stem.name}.json"))
                rows.append(_row(Path(str(file)), result, written[0]))
                found[result.verdict.belief] += 1
                _show(console, result, written, brief=len(files) > 1)
            bars.advance()
    if len(files) > 1:
        _write(output / "results.csv", rows)
        counts = ", ".join(f"{belief}: {n}" for belief, n in found.most_common())
        told = f"{counts or 'none judged'}; {len(files) - found.total()} could not be read: {output / 'results.csv'}"
        console.print(told, highlight=False, markup=False, soft_wrap=True)
    return exit_code(found.total(), len(files) - found.total())


def _show(console: Console, found: Trust, written: Sequence[Path], *, brief: bool) -> None:
    if brief:
        line = f"{found.source}: {found.target} {found.probability:.1%}: {found.verdict} → {written[0]}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
        return
    console.print(found)
    for path in written:
        console.print(f"→ {path}", highlight=False, markup=False, soft_wrap=True)


def _row(file: Path, found: Trust, written: Path) -> dict[str, Any]:
    from camlucida.trusting.verdict import middle

    place = found.place
    numbers = {
        "probability": found.probability,
        "choices": found.certainty.choices,
        "p": place.p if place else None,
        "fall": place.fall if place else None,
        "elsewhere": place.elsewhere if place else None,
        "edge": found.edge.edge,
        "middle": found.edge.middle,
        "next_class": middle(found.classes[:1]),
        "noise": middle(found.noise),
        "shifts": middle(found.shifts),
    }
    return {
        "image": str(file),
        "belief": found.verdict.belief,
        "reasons": "; ".join(found.verdict.reasons),
        "target": found.target,
        "predicted": found.predicted,
        **{name: "" if value is None or value != value else f"{value:.6g}" for name, value in numbers.items()},
        "method": found.method,
        "file": str(written),
        "error": "",
    }


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    from camlucida._escaping import csv_text
    from camlucida._files import atomic_write

    atomic_write(path, csv_text(COLUMNS, rows))
