"""The `camlucida trust` command."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from camlucida.cli.exit_codes import exit_code
from camlucida.cli.images import free_stem, input_files, output_stems, split_output
from camlucida.cli.method_choice import announced_method
from camlucida.cli.model_and_data import PretrainedModelOptions
from camlucida.cli.options import (
    TESTS,
    Images,
    Layer,
    OptionalMethodName,
    Output,
    OverlayOptions,
    Overwrite,
    Seed,
    Target,
    TerminalOptions,
)
from camlucida.cli.progress import ExplanationProgress, progress_bar
from camlucida.cli.results import ResultsTable, model_settings, nothing_row
from camlucida.errors import CamlucidaError, NothingFound

if TYPE_CHECKING:
    from camlucida.reliability import Trust

COLUMNS = (
    "image", "verdict", "reasons", "target", "predicted", "probability", "perplexity", "p", "drop", "drop_elsewhere",
    "drop_border", "drop_middle", "next_class", "noise", "shifts", "method", "file", "error",
)  # fmt: skip

ENDINGS = ("-trust.png", "-trust.json")
"""What is appended to the stem of an image for its files."""


def trust(
    images: Images,
    /,
    *,
    model: PretrainedModelOptions = PretrainedModelOptions(),
    target: Target = None,
    layer: Layer = None,
    method: OptionalMethodName = None,
    windows: Annotated[int, Parameter(group=TESTS)] = 36,
    seed: Seed = 0,
    overlay: OverlayOptions = OverlayOptions(),
    output: Output = Path("camlucida-out"),
    overwrite: Overwrite = False,
    terminal: TerminalOptions = TerminalOptions(),
) -> int:
    """Test whether the map of an image can be trusted, and print a verdict with all numbers.

    Is the model confident? Does the position of the highlighted region matter? Is the map specific to its class? Is it
    stable under small changes of the image? Does the border of the image decide? Writes a panel and a JSON file for
    every image; with several images also results.csv, in which an image that cannot be read is a row with the reason.
    Needs about 125 forward passes per image. An interrupted run resumes when it is started again.

    Parameters
    ----------
    target
        The class to explain: a name or an index. If not given: the predicted class.
    layer
        The layer to explain (target_layers in pytorch-grad-cam). If not given: the default layer. See `camlucida
        layers`.
    method
        grad_cam or another method, optionally in a combinator, as in "refine(layer_cam)". If not given: the
        default method, as of `camlucida explain`.
    windows
        The number of positions at which the image is blurred to test the position of the map: 36, or for slow networks
        16, which give the test less statistical power.
    seed
        The random seed.
    output
        The folder to write to; for one image also a file, such as cat.png.
    """
    from camlucida.reliability import trust_each

    console = terminal.open("trust")
    files = input_files(images, output)
    output, file_name = split_output(output, files)
    style = overlay.style()
    model = model.or_default(console)
    with console.status(model.status):
        loaded = model.load()
    method = method or announced_method(console, loaded)
    request = {"method": method, "layer": layer, "target": target, "n_windows": windows, "seed": seed}

    def save(result: Trust, path: Path) -> list[Path]:
        return [*result.save(path, **style), *result.save(path.with_suffix(".json"))]

    if len(files) == 1:
        with progress_bar(console) as progress:
            bars = ExplanationProgress(progress, 1, "trust")
            ((_, result),) = trust_each(loaded, files, **request, progress=bars.runs)
        if isinstance(result, CamlucidaError):
            raise result
        if file_name:
            suffix = Path(file_name).suffix
            stem = free_stem(Path(file_name).stem, output, [suffix, ".json"], overwrite=overwrite)
            written = save(result, output / f"{stem}{suffix}")
        else:
            stem = output_stems(files, output, ENDINGS, overwrite=overwrite)[files[0]]
            written = save(result, output / f"{stem}-trust.png")
        console.add(images=[_as_json(files[0], result)])
        console.print(result)
        console.print_paths(written)
        return console.finish()
    settings = {"command": "trust", **model_settings(loaded), **request, "style": style}
    table = ResultsTable(output, COLUMNS, settings, files, overwrite=overwrite)
    stems = table.stems(ENDINGS, overwrite=overwrite)
    verdict_counts = Counter(rows[0]["verdict"] or rows[0]["target"] for rows in table.done.values())
    done: list[dict[str, Any]] = []
    if table.done:
        console.print_line(f"{len(table.done)} of {len(files)} images are in {table.path} already.")
    with table, progress_bar(console, len(files)) as progress:
        bars = ExplanationProgress(progress, len(files), "trust")
        bars.resume(len(table.done))
        for file, result in trust_each(loaded, table.open_images, **request, progress=bars.runs):
            path = Path(str(file))
            if isinstance(result, NothingFound):
                table.add(path, [nothing_row(path, result)])
                verdict_counts[result.summary] += 1
                done.append({"image": str(path), "target": result.summary, "verdict": None})
                console.print_line(f"{path.name}: {result.summary}")
            elif isinstance(result, CamlucidaError):
                table.add(path, [{"image": str(file), "error": f"{type(result).__name__}: {result}"}])
                console.print_failure(path.name, result)
            else:
                written = save(result, output / f"{stems[path]}-trust.png")
                table.add(path, [_result_row(path, result, written[0])])
                verdict_counts[result.verdict.level] += 1
                done.append(_as_json(path, result))
                console.print_line(
                    f"{result.source}: {result.target} {result.probability:.1%}: {result.verdict} → {written[0]}"
                )
                console.note_files(written)
            bars.advance()
    console.add(images=done, n_resumed=len(table.done))
    counts = ", ".join(f"{level}: {n}" for level, n in verdict_counts.most_common()) or "no verdict"
    console.print_line(f"{counts}; {table.n_failed} failed: {table.path}")
    console.note_files([table.path])
    return console.finish(exit_code(len(files) - table.n_failed, table.n_failed))


def _as_json(file: Path, result: Trust) -> dict[str, Any]:
    row = _result_row(file, result, Path())
    return {name: value for name, value in row.items() if name not in ("file", "error")} | {
        "reasons": list(result.verdict.reasons)
    }


def _result_row(file: Path, result: Trust, written: Path) -> dict[str, Any]:
    from camlucida.reliability.verdict import median_correlation

    test = result.position_test
    numbers = {
        "probability": result.probability,
        "perplexity": result.confidence.choices,
        "p": test.p if test else None,
        "drop": test.drop if test else None,
        "drop_elsewhere": test.mean_drop_elsewhere if test else None,
        "drop_border": result.border_test.edge,
        "drop_middle": result.border_test.middle,
        "next_class": median_correlation(result.classes[:1]),
        "noise": median_correlation(result.noise),
        "shifts": median_correlation(result.shifts),
    }
    return {
        "image": str(file),
        "verdict": result.verdict.level,
        "reasons": "; ".join(result.verdict.reasons),
        "target": result.target,
        "predicted": result.predicted,
        **{name: "" if value is None or value != value else f"{value:.6g}" for name, value in numbers.items()},
        "method": result.method,
        "file": str(written),
        "error": "",
    }
