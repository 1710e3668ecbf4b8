"""The `camlucida trust` command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape

from camlucida.cli.exit_codes import exit_code
from camlucida.cli.images import ExplanationProgress, input_files, output_stems, overlay_style, progress_bar
from camlucida.cli.lists import TrustCode
from camlucida.cli.terminal import Terminal
from camlucida.errors import CamlucidaError

if TYPE_CHECKING:
    from camlucida.reliability import Trust

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
    transforms: int = 128,
    seed: int = 0,
    opacity: float = 0.5,
    colormap: str | None = None,
    blend: str = "heat",
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("camlucida-out"),
) -> int:
    """Test whether the map of an image can be trusted, and print a verdict with all numbers.

    Is the model confident? Does the position of the highlighted region matter? Is the map specific to its class? Is it
    stable? Does the border of the image decide? Writes a panel and a JSON file for every image; several images also
    produce results.csv, in which an image that cannot be read is a row. Runs the network about 145 times per image.

    Parameters
    ----------
    images
        Images, or folders of images.
    model
        A name (resnet50, timm:…, toybox), a checkpoint, or python:module:function. See `camlucida models`.
    arch
        The architecture that a checkpoint holds the weights of: resnet18, timm:…, python:….
    labels
        A text file with one class name per line.
    target
        A class name or index; the predicted class if not given.
    layer
        One layer; see `camlucida layers`.
    method
        grad_cam and its variants, optionally with combinators, as in "refine(layer_cam)".
    transforms
        The number of positions at which the highlighted region is tested: 128, or for slow networks 64 or 32, which
        have less statistical power.
    seed
        The random seed.
    opacity
        The opacity of the heat map over the image, 0 to 1.
    colormap
        jet, turbo, viridis, magma, or the default, which is safe for colour-blind readers.
    blend
        heat: the opacity grows with the map value; uniform: the opacity is constant, as in the papers.
    output
        The folder to write to.
    """
    from camlucida.models.load import load
    from camlucida.reliability import trust_each

    console = Terminal()
    files = input_files(images, output)
    style = overlay_style(opacity, colormap, blend)
    stems = output_stems(files, output)
    with console.status(f"Loading {escape(model)} …"):
        loaded = load(model, arch=arch, trust_code=trust_code, labels=labels)
    rows: list[dict[str, Any]] = []
    verdict_counts: Counter[str] = Counter()
    with progress_bar(console) as progress:
        bars = ExplanationProgress(progress, len(files), "trust")
        request = {"method": method, "layer": layer, "target": target, "n_transforms": transforms, "seed": seed}
        for file, result in trust_each(loaded, files, **request, progress=bars.runs):
            name = Path(str(file)).name
            if isinstance(result, CamlucidaError):
                if len(files) == 1:
                    raise result
                rows.append({"image": str(file), "error": f"{type(result).__name__}: {result}"})
                console.print(f"[red]{escape(name)}[/]: {escape(str(result))}", highlight=False, soft_wrap=True)
            else:
                stem = output / f"{stems[Path(str(file))]}-trust"
                written = [*result.save(stem.with_name(f"{stem.name}.png"), **style)]
                written += result.save(stem.with_name(f"{stem.name}.json"))
                rows.append(_result_row(Path(str(file)), result, written[0]))
                verdict_counts[result.verdict.level] += 1
                _print_trust(console, result, written, brief=len(files) > 1)
            bars.advance()
    if len(files) > 1:
        _write_results(output / "results.csv", rows)
        counts = ", ".join(f"{belief}: {n}" for belief, n in verdict_counts.most_common())
        summary = (
            f"{counts or 'none judged'}; {len(files) - verdict_counts.total()} could not be read: "
            f"{output / 'results.csv'}"
        )
        console.print(summary, highlight=False, markup=False, soft_wrap=True)
    return exit_code(verdict_counts.total(), len(files) - verdict_counts.total())


def _print_trust(console: Console, result: Trust, written: Sequence[Path], *, brief: bool) -> None:
    if brief:
        line = f"{result.source}: {result.target} {result.probability:.1%}: {result.verdict} → {written[0]}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
        return
    console.print(result)
    for path in written:
        console.print(f"→ {path}", highlight=False, markup=False, soft_wrap=True)


def _result_row(file: Path, result: Trust, written: Path) -> dict[str, Any]:
    from camlucida.reliability.verdict import median_correlation

    test = result.position_test
    numbers = {
        "probability": result.probability,
        "choices": result.confidence.choices,
        "p": test.p if test else None,
        "fall": test.drop if test else None,
        "elsewhere": test.mean_drop_elsewhere if test else None,
        "edge": result.border_test.edge,
        "middle": result.border_test.middle,
        "next_class": median_correlation(result.classes[:1]),
        "noise": median_correlation(result.noise),
        "shifts": median_correlation(result.shifts),
    }
    return {
        "image": str(file),
        "belief": result.verdict.level,
        "reasons": "; ".join(result.verdict.reasons),
        "target": result.target,
        "predicted": result.predicted,
        **{name: "" if value is None or value != value else f"{value:.6g}" for name, value in numbers.items()},
        "method": result.method,
        "file": str(written),
        "error": "",
    }


def _write_results(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    from camlucida._escaping import csv_text
    from camlucida._files import atomic_write

    atomic_write(path, csv_text(COLUMNS, rows))
