"""The `camlucida explain` command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from camlucida.cli.exit_codes import exit_code
from camlucida.cli.images import ExplanationProgress, input_files, output_stems, progress_bar
from camlucida.cli.model_and_data import PretrainedModelOptions
from camlucida.cli.options import Images, Names, Output, OverlayOptions, split_list
from camlucida.cli.terminal import Terminal
from camlucida.errors import CamlucidaError, MethodError

if TYPE_CHECKING:
    from camlucida.attribution.explanation import Explanation
    from camlucida.attribution.explanation_set import ExplanationSet


def explain(
    images: Images,
    /,
    *,
    model: PretrainedModelOptions = PretrainedModelOptions(),
    target: Names = None,
    layer: Names = None,
    method: Names = None,
    score: str = "logit",
    option: Names = None,
    precision: str = "exact",
    batch_size: int | None = None,
    overlay: OverlayOptions = OverlayOptions(),
    maps: bool = False,
    panels: bool = False,
    compare: bool = False,
    output: Output = Path("camlucida-out"),
) -> int:
    """Explain the predictions of a model on images with saliency maps.

    Writes one panel per image, or a grid of maps for several classes, layers or methods, and prints the predictions.
    With several images it also writes results.csv, in which an image that cannot be read is a row with the reason; the
    exit code is then 1, or 2 if no image can be explained.

    Parameters
    ----------
    target
        What to explain: a class name or index, top3, "A rather than B", "not A"; can be repeated. If not given: the
        predicted class.
    layer
        The layer (called target_layers in pytorch-grad-cam): a name, a glob ("layer?"), an index, or all; several
        separated by commas. If not given: the default layer. See `camlucida layers`.
    method
        grad_cam or another method, optionally in a combinator, as in "refine(layer_cam)"; several separated by commas.
        See `camlucida models`. If not given: grad_cam.
    score
        The score of a class that is explained: logit, probability or log_probability.
    option
        An option of the method, as name=value; can be repeated.
    precision
        exact, or bf16: for methods that run the network on many inputs, such as score_cam and rise; about twice as fast
        on processors with bfloat16 units, with scores that deviate by about 1 %.
    batch_size
        The number of inputs per forward pass of such methods; a smaller number needs less memory. If not given: chosen
        automatically.
    maps
        Also save the raw maps: an NPZ file, and a JSON file with the settings.
    panels
        Also save a panel for every single map of a grid.
    compare
        Also draw where the maps of the methods, layers or classes disagree, and print their rank correlations.
    output
        The folder to write to.
    """
    from camlucida.attribution.explain_request import explain_requests
    from camlucida.attribution.request import AttributionRequest

    console = Terminal()
    files = input_files(images, output)
    style = overlay.style()
    request = {
        "target": _one_or_list(target),
        "layer": _one_or_list(split_list(layer)),
        "method": _one_or_list(split_list(method)) or "grad_cam",
        "score": score,
        "options": _parse_options(option or []),
        "precision": precision,
        "batch_size": batch_size,
    }
    stems = output_stems(files, output)
    with console.status(model.status):
        loaded = model.load()
    rows, failed = [], 0
    with progress_bar(console) as progress:
        bars = ExplanationProgress(progress, len(files), ", ".join(split_list(method) or ["grad_cam"]))
        attribution_request = AttributionRequest.of(**request, progress=bars.runs)
        for file, result in explain_requests(loaded, files, attribution_request):
            if isinstance(result, CamlucidaError):
                if len(files) == 1:
                    raise result
                failed += 1
                rows.append(_failure_row(Path(str(file)), result))
                console.print_failure(Path(str(file)).name, result)
            else:
                written = _write_explanation(result, output, stems[Path(str(file))], style, maps, panels)
                if compare:
                    written += _write_comparison(result, output / f"{stems[Path(str(file))]}-disagreement.png", style)
                rows += _rows(Path(str(file)), result, written)
                _print_explanation(console, result, written, brief=len(files) > 1)
                if compare and len(files) == 1:
                    _print_agreement(console, result)
            bars.advance()
    if len(files) > 1:
        _write_results(output / "results.csv", rows)
        console.print_line(f"{len(files) - failed} explained, {failed} failed: {output / 'results.csv'}")
    return exit_code(len(files) - failed, failed)


def _write_explanation(
    result: Explanation | ExplanationSet, output: Path, stem: str, style: dict[str, Any], maps: bool, panels: bool
) -> list[Path]:
    from camlucida.attribution.explanation import Explanation

    written = result.save(output / f"{stem}.png", **style)
    if panels and not isinstance(result, Explanation):
        for slug, e in zip(result.slugs, result, strict=True):
            written += e.save(output / stem / f"{slug}.png", **style)
    if maps:
        written += result.save(output / f"{stem}.npz")
    return written


def _print_explanation(
    console: Terminal, result: Explanation | ExplanationSet, written: Sequence[Path], *, brief: bool
) -> None:
    from camlucida.attribution.explanation import Explanation
    from camlucida.render.text import format_confidence

    items = [result] if isinstance(result, Explanation) else list(result)
    first = items[0]
    if brief:
        top = ", ".join(f"{p.name} {format_confidence(p.probability, p.logit, 1)}" for p in first.predictions[:1])
        console.print_line(f"{first.source}: {top or first.score_label} → {written[0]}")
        return
    table = Table(
        title=f"{escape(first.source)} · {escape(first.model)}", title_justify="left", box=None, pad_edge=False
    )
    table.add_column("prediction")
    table.add_column("probability", justify="right")
    table.add_column("logit", justify="right")
    for p in first.predictions:
        table.add_row(escape(p.name), "–" if p.probability is None else f"{p.probability:.1%}", f"{p.logit:.2f}")
    console.print(table)
    for e in items:
        console.print_line(f"explained: {e.target} ({e.score_label}) by {e.method} at {e.layer}, {e.grid_label}")
    console.print_paths(written)


def _write_comparison(result: Explanation | ExplanationSet, path: Path, style: dict[str, Any]) -> list[Path]:
    from camlucida._files import write_image

    explanations = _as_set(result)
    write_image(lambda: explanations.disagreement_panel(**style), path)
    return [path]


def _as_set(result: Explanation | ExplanationSet) -> ExplanationSet:
    from camlucida.attribution.explanation_set import ExplanationSet

    return result if isinstance(result, ExplanationSet) else ExplanationSet((result,))


def _print_agreement(console: Terminal, result: Explanation | ExplanationSet) -> None:
    explanations = _as_set(result)
    correlations = explanations.rank_correlation()
    console.print()
    table = Table(title="Rank correlation of the maps", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for number in range(1, len(explanations) + 1):
        table.add_column(f"{number}", justify="right", no_wrap=True)
    for number, (label, row) in enumerate(zip(explanations.labels, correlations, strict=True), start=1):
        table.add_row(f"{number} {escape(label)}", *("–" if value != value else f"{value:.2f}" for value in row))
    console.print(table)


def _rows(file: Path, result: Explanation | ExplanationSet, written: Sequence[Path]) -> list[dict[str, Any]]:
    from camlucida.attribution.explanation import Explanation

    items = [result] if isinstance(result, Explanation) else list(result)
    return [
        {
            "image": str(file),
            "predicted": e.predictions[0].name if e.predictions else "",
            "probability": "".join(f"{p.probability:.6f}" for p in e.predictions[:1] if p.probability is not None),
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
    from camlucida._escaping import csv_text
    from camlucida._files import atomic_write

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
    atomic_write(path, csv_text(names, rows))


def _one_or_list(values: list[str] | None) -> Any:
    return values[0] if values is not None and len(values) == 1 else values or None


def _parse_options(pairs: Sequence[str]) -> dict[str, Any]:
    import ast

    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise MethodError(f"--option {pair}: expected the form name=value.")
        try:
            options[name.strip()] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[name.strip()] = value
    return options
