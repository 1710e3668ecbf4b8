"""The `camlucida trust` command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camlucida.cli.exit_codes import exit_code
from camlucida.cli.images import ExplanationProgress, input_files, output_stems, progress_bar
from camlucida.cli.model_and_data import PretrainedModelOptions
from camlucida.cli.options import Images, Output, OverlayOptions
from camlucida.cli.terminal import Terminal
from camlucida.errors import CamlucidaError

if TYPE_CHECKING:
    from camlucida.reliability import Trust

COLUMNS = (
    "image", "belief", "reasons", "target", "predicted", "probability", "choices", "p", "fall", "elsewhere",
    "edge", "middle", "next_class", "noise", "shifts", "method", "file", "error",
)  # fmt: skip


def trust(
    images: Images,
    /,
    *,
    model: PretrainedModelOptions = PretrainedModelOptions(),
    target: str | None = None,
    layer: str | None = None,
    method: str = "grad_cam",
    transforms: int = 128,
    seed: int = 0,
    overlay: OverlayOptions = OverlayOptions(),
    output: Output = Path("camlucida-out"),
) -> int:
    """Test whether the map of an image can be trusted, and print a verdict with all numbers.

    Is the model confident? Does the position of the highlighted region matter? Is the map specific to its class? Is it
    stable under small changes of the image? Does the border of the image decide? Writes a panel and a JSON file for
    every image; with several images also results.csv, in which an image that cannot be read is a row with the reason.
    Needs about 145 forward passes per image.

    Parameters
    ----------
    target
        The class to explain: a name or an index. If not given: the predicted class.
    layer
        The layer to explain (target_layers in pytorch-grad-cam). If not given: the default layer. See `camlucida
        layers`.
    method
        grad_cam or another method, optionally in a combinator, as in "refine(layer_cam)".
    transforms
        The number of transforms (shifts, mirrors, quarter turns) with which the highlighted region is compared: 128, or
        for slow networks 64 or 32, which give the test less statistical power.
    seed
        The random seed.
    output
        The folder to write to.
    """
    from camlucida.reliability import trust_each

    console = Terminal()
    files = input_files(images, output)
    style = overlay.style()
    stems = output_stems(files, output)
    with console.status(model.status):
        loaded = model.load()
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
                console.print_failure(name, result)
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
        counts = ", ".join(f"{level}: {n}" for level, n in verdict_counts.most_common()) or "no verdict"
        n_failed = len(files) - verdict_counts.total()
        console.print_line(f"{counts}; {n_failed} failed: {output / 'results.csv'}")
    return exit_code(verdict_counts.total(), len(files) - verdict_counts.total())


def _print_trust(console: Terminal, result: Trust, written: Sequence[Path], *, brief: bool) -> None:
    if brief:
        console.print_line(
            f"{result.source}: {result.target} {result.probability:.1%}: {result.verdict} → {written[0]}"
        )
        return
    console.print(result)
    console.print_paths(written)


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
