"""camlucida explain"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from camlucida.errors import CamlucidaError, DataError, MethodError

if TYPE_CHECKING:
    from camlucida.explanation import Explanation, Explanations


def explain(
    images: Annotated[list[str], Parameter(help="Pictures, or folders of pictures.", negative=())],
    /,
    *,
    model: str = "resnet50",
    arch: str | None = None,
    labels: Path | None = None,
    target: Annotated[list[str] | None, Parameter(negative=())] = None,
    layer: Annotated[list[str] | None, Parameter(negative=())] = None,
    method: Annotated[list[str] | None, Parameter(negative=())] = None,
    score: str = "logit",
    option: Annotated[list[str] | None, Parameter(negative=())] = None,
    opacity: float = 0.5,
    colormap: str | None = None,
    blend: str = "heat",
    maps: bool = False,
    panels: bool = False,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("camlucida-out"),
) -> int:
    """Explain pictures: why did the model say so?

    Writes a panel for every picture, a grid where several classes, layers or methods are asked for; prints the
    predictions. Several pictures also give results.csv, in which a picture that cannot be read is a row.

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
        What to explain: a class name or index, top3, "A rather than B", "not A". The predicted class if not given.
    layer
        A name, a glob ("layer?"), a number, or all; several separated by commas. See `camlucida layers`.
    method
        grad_cam and its relatives, also combined, as in "refine(layer_cam)"; several separated by commas. See
        `camlucida models`.
    score
        What a class is scored by: logit, probability, log_probability.
    option
        An option of the method, as name=value.
    opacity
        Of the heat over the picture, 0 to 1.
    colormap
        jet, turbo, viridis, magma, or the default, which also serves the colour-blind.
    blend
        heat: the coat gets thicker with the heat; uniform: the same everywhere, as in the papers.
    maps
        Also save the raw maps: NPZ, with a JSON of how they were made.
    panels
        Also save a panel for every single map of a grid.
    output
        The folder to write to.
    """
    from camlucida.data.images import image_files
    from camlucida.explaining import explain_each
    from camlucida.models.load import load

    console = Console()
    files = [file for image in images for file in image_files(image) if not _ours(file, Path(image), output)]
    look: dict[str, Any] = {"opacity": _between(opacity), "blend": _blend(blend)} | (
        {"colormap": _colormap(colormap)} if colormap else {}
    )
    how = {
        "target": _one_or_list(target),
        "layer": _one_or_list(_split(layer)),
        "method": _one_or_list(_split(method)) or "grad_cam",
        "score": score,
        "options": _options(option or []),
    }
    stems = _stems(files, output)
    with console.status(f"Loading {escape(model)} …"):
        loaded = load(model, arch=arch, labels=labels)
    rows, failed = [], 0
    with _progress(console, len(files)) as progress:
        task = progress.add_task("explaining", total=len(files))
        for file, result in explain_each(loaded, files, **how):
            if isinstance(result, CamlucidaError):
                if len(files) == 1:
                    raise result
                failed += 1
                rows.append(_failure_row(Path(str(file)), result))
                console.print(
                    f"[red]{escape(Path(str(file)).name)}[/]: {escape(str(result))}", highlight=False, soft_wrap=True
                )
            else:
                written = _write(result, output, stems[Path(str(file))], look, maps, panels)
                rows += _rows(Path(str(file)), result, written)
                _show(console, result, written, brief=len(files) > 1)
            progress.advance(task)
    if len(files) > 1:
        _write_results(output / "results.csv", rows)
        console.print(
            f"{len(files) - failed} explained, {failed} not: {output / 'results.csv'}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    return 0 if failed < len(files) else 2


def _write(
    result: Explanation | Explanations, output: Path, stem: str, look: dict[str, Any], maps: bool, panels: bool
) -> list[Path]:
    from camlucida.explanation import Explanation

    written = result.save(output / f"{stem}.png", **look)
    if panels and not isinstance(result, Explanation):
        for slug, e in zip(result.slugs, result, strict=True):
            written += e.save(output / stem / f"{slug}.png", **look)
    if maps:
        written += result.save(output / f"{stem}.npz")
    return written


def _show(console: Console, result: Explanation | Explanations, written: Sequence[Path], *, brief: bool) -> None:
    from camlucida.explanation import Explanation

    items = [result] if isinstance(result, Explanation) else list(result)
    first = items[0]
    if brief:
        best = first.predictions[0]
        console.print(
            f"{first.source}: {best.name} {best.probability:.1%} → {written[0]}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
        return
    table = Table(
        title=f"{escape(first.source)} · {escape(first.model)}", title_justify="left", box=None, pad_edge=False
    )
    table.add_column("prediction")
    table.add_column("probability", justify="right")
    table.add_column("logit", justify="right")
    for p in first.predictions:
        table.add_row(escape(p.name), f"{p.probability:.1%}", f"{p.logit:.2f}")
    console.print(table)
    for e in items:
        console.print(
            f"explained: {e.target} ({e.score_label}) by {e.method} at {e.layer}, {e.grid_label}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    for path in written:
        console.print(f"→ {path}", highlight=False, markup=False, soft_wrap=True)


def _rows(file: Path, result: Explanation | Explanations, written: Sequence[Path]) -> list[dict[str, Any]]:
    from camlucida.explanation import Explanation

    items = [result] if isinstance(result, Explanation) else list(result)
    return [
        {
            "image": str(file),
            "predicted": e.predictions[0].name,
            "probability": f"{e.predictions[0].probability:.6f}",
            "target": e.target,
            "score": f"{e.score:.6g}",
            "score_kind": e.score_kind,
            "method": e.method,
            "layer": e.layer,
            "peak": f"{e.peak:.6g}",
            "file": str(written[0]),
            "error": "",
        }
        for e in items
    ]


def _failure_row(file: Path, error: CamlucidaError) -> dict[str, Any]:
    return {"image": str(file), "error": f"{type(error).__name__}: {error}"}


def _write_results(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    import csv

    from camlucida.explanation import writing

    names = [
        "image",
        "predicted",
        "probability",
        "target",
        "score",
        "score_kind",
        "method",
        "layer",
        "peak",
        "file",
        "error",
    ]
    with writing(path), path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as stream:
        writer = csv.DictWriter(stream, names, restval="")
        writer.writeheader()
        writer.writerows(rows)


def _ours(file: Path, given: Path, output: Path) -> bool:
    """Whether a picture found in a folder is what an earlier run wrote there."""
    inner, folder = output.resolve(), given.expanduser().resolve()
    return folder.is_dir() and folder in inner.parents and inner in file.resolve().parents


def _stems(files: Sequence[Path], output: Path) -> dict[Path, str]:
    """A name for the output of each picture: no two alike, and none that would write over a picture."""
    taken = {file.resolve() for file in files}
    count = Counter(file.stem.lower() for file in files)
    stems: dict[Path, str] = {}
    used = {stem for stem, n in count.items() if n == 1}
    for number, file in enumerate(files):
        if file in stems:
            continue
        stem = file.stem if count[file.stem.lower()] == 1 else f"{file.stem}-{number}"
        while (stem != file.stem and stem.lower() in used) or (output / f"{stem}.png").resolve() in taken:
            stem += "-explained"
        used.add(stem.lower())
        stems[file] = stem
    return stems


def _progress(console: Console, count: int) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=count < 2 or not console.is_terminal)


def _split(values: list[str] | None) -> list[str] | None:
    """Commas separate, except inside the brackets of a glob or a combinator."""
    if values is None:
        return None
    parts: list[str] = []
    for value in values:
        depth, begin = 0, 0
        for position, letter in enumerate(f"{value},"):
            depth += (letter in "([") - (letter in ")]")
            if letter == "," and (depth <= 0 or position == len(value)):
                parts.append(value[begin:position].strip())
                begin = position + 1
    return [part for part in parts if part]


def _one_or_list(values: list[str] | None) -> Any:
    return values[0] if values is not None and len(values) == 1 else values or None


def _options(pairs: Sequence[str]) -> dict[str, Any]:
    import ast

    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise MethodError(f"--option {pair} needs the form name=value.")
        try:
            found[name.strip()] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[name.strip()] = value
    return found


def _between(opacity: float) -> float:
    if not 0 <= opacity <= 1:
        raise DataError(f"--opacity {opacity:g} is not between 0 and 1.")
    return opacity


def _colormap(name: str) -> str:
    from camlucida.render.colours import checked

    return checked(name)


def _blend(name: str) -> str:
    if name not in ("heat", "uniform"):
        raise DataError(f"--blend {name}: it is heat or uniform.")
    return name
