"""The `camlucida explain` command."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from camlucida.cli.allocator import keep_freed_memory
from camlucida.cli.exit_codes import exit_code
from camlucida.cli.explanation_files import (
    with_margin,
    with_margin_or_error,
    write_colour,
    write_comparison,
    write_explanation,
    write_export,
    write_volumes,
)
from camlucida.cli.explanation_rows import COLUMNS, as_json, failure_row, print_agreement, print_explanation, table_rows
from camlucida.cli.images import free_stem, input_files, output_stems, split_output
from camlucida.cli.inputs import parse_options, read_inputs
from camlucida.cli.map_verdicts import print_verdicts
from camlucida.cli.method_choice import announced_method
from camlucida.cli.model_and_data import PretrainedModelOptions
from camlucida.cli.option_values import split_list, split_targets, voxel
from camlucida.cli.options import (
    COMPUTATION,
    DATA,
    DRAWING,
    EXPLANATION,
    OUTPUT,
    TESTS,
    Images,
    Names,
    Output,
    OverlayOptions,
    Overwrite,
    TerminalOptions,
)
from camlucida.cli.progress import ExplanationProgress, progress_bar
from camlucida.cli.results import ResultsTable, model_settings, nothing_row
from camlucida.errors import CamlucidaError, DataError, ModelError, NothingFound

if TYPE_CHECKING:
    from camlucida.attribution.explanation import Explanation
    from camlucida.attribution.explanation_set import ExplanationSet
    from camlucida.models.model import Model


def explain(
    images: Images,
    /,
    *,
    model: PretrainedModelOptions = PretrainedModelOptions(),
    target: Names = None,
    like: Annotated[Path | None, Parameter(group=EXPLANATION)] = None,
    layer: Names = None,
    method: Names = None,
    words: Annotated[bool, Parameter(group=EXPLANATION)] = False,
    question: Annotated[str | None, Parameter(group=EXPLANATION)] = None,
    score: Annotated[str, Parameter(group=EXPLANATION)] = "logit",
    margin: Annotated[bool, Parameter(negative=(), group=EXPLANATION)] = False,
    option: Names = None,
    inputs: Annotated[list[str] | None, Parameter(name="--input", negative=(), group=EXPLANATION)] = None,
    precision: Annotated[str, Parameter(group=COMPUTATION)] = "exact",
    batch_size: Annotated[int | None, Parameter(group=COMPUTATION)] = None,
    overlay: OverlayOptions = OverlayOptions(),
    bands: Annotated[str | None, Parameter(group=DRAWING)] = None,
    slice_: Annotated[str | None, Parameter(name="--slice", group=DRAWING)] = None,
    slices: Annotated[int | None, Parameter(group=DRAWING)] = None,
    frames: Annotated[int | None, Parameter(group=DATA)] = None,
    maps: Annotated[bool, Parameter(group=OUTPUT)] = False,
    colour: Annotated[bool, Parameter(group=OUTPUT)] = False,
    panels: Annotated[bool, Parameter(group=OUTPUT)] = False,
    export: Annotated[Literal["coco", "fiftyone"] | None, Parameter(group=OUTPUT)] = None,
    compare: Annotated[bool, Parameter(group=OUTPUT)] = False,
    trust: Annotated[bool, Parameter(group=TESTS)] = False,
    output: Output = Path("camlucida-out"),
    overwrite: Overwrite = False,
    terminal: TerminalOptions = TerminalOptions(),
) -> int:
    """Explain the predictions of a model on images with saliency maps.

    Writes one panel per image, or a grid of maps for several classes, layers or methods, and prints the predictions.
    With several images it also writes results.csv, in which an image that cannot be read is a row with the reason; the
    exit code is then 1, or 2 if no image can be explained. An interrupted run resumes when it is started again.

    A NIfTI or DICOM file, or a folder of DICOM files, is a volume: its panel has three slices and projections, and the
    map is also written as NIfTI, in the grid of the scan.

    Parameters
    ----------
    target
        What to explain: a class name or index, top3, "A rather than B", "not A"; several separated by commas. In
        detectors also "box 3" and "dog at 120,80"; in segmentation networks a region: "class:bus", "class:bus at
        120,80", "at 120,80", "region:mask.png"; in image-text models "text:a dog", "text:a dog rather than a cat"; the
        similarity to an image "like:b.jpg". If not given: the predicted class, or every box or region.
    like
        A second image: what makes the two similar is explained both ways, on each of them. The score is the cosine of
        their embeddings; of a classifier, of the input of its last linear layer.
    layer
        The layer (called target_layers in pytorch-grad-cam): a name, a glob ("layer?"), an index, or all; several
        separated by commas. If not given: the default layer. See `camlucida layers`.
    method
        grad_cam or another method, optionally in a combinator, as in "refine(layer_cam)"; several separated by commas.
        See `camlucida models`. If not given: grad_cam; hires_cam for boxes and regions, layer_cam for words; occlusion
        where the layers of the model cannot be accessed.
    words
        For a network that writes a text, such as BLIP: one map for each word of its caption or answer, as a film strip.
        Single words are targets: --target "word 2", --target dog, --target "word 2: cat rather than dog".
    question
        The question about the image, for networks that answer one, such as ViLT: "What animal is this?".
    score
        The score of a class that is explained: logit, probability or log_probability.
    margin
        For boxes of a detector, by hires_cam: subtract the evidence that a detection needs, so that the map is negative
        where an object was missed: --target "dog at 120,80" --margin.
    option
        An option of the method, as name=value; can be repeated.
    inputs
        A further input of a network that takes several, as name=file; can be repeated. An image file is preprocessed;
        .npy, .pt and .json files hold tensors with a batch axis of 1. The images named as arguments are the first input
        that wrap(image=...) names and that is not given here.
    precision
        exact, or bf16: for methods that run the network on many inputs, such as score_cam and rise; about twice as fast
        on processors with bfloat16 units, with scores that deviate by about 1 %.
    batch_size
        The number of images that the network runs at once, and of the inputs of such methods; a smaller number needs
        less memory. If not given: chosen automatically.
    bands
        The bands of a multispectral image that are displayed as red, green and blue, numbered from 1: 3,2,1. Each is
        stretched from its 2nd to its 98th percentile. If not given: the first three bands, as they are.
    slice_
        The voxel through which the slices of a volume are drawn, along the axes of the network input: 24,60,31. If not
        given: the voxel with the largest map value.
    slices
        Also draw this number of slices of a volume: those whose mean map value is highest.
    frames
        Explain a folder of frames, an animation or a .npy file (t, h, w, c) as one video, of which this number of
        frames at even distances is used.
    maps
        Also save the raw maps: an NPZ file, and a JSON file with the settings.
    colour
        Also draw the signed map of every colour channel, as the figures on guided_backprop and guided_grad_cam show it,
        in NAME-colour.png. Grey is zero.
    panels
        Also save a panel for every single map of a grid.
    export
        Also write the box and the mask of each map, at 0.15 of its maximum: COCO's JSON (NAME.coco.json), or a data set
        of FiftyOne (NAME.fiftyone.json).
    compare
        Also draw where the maps of the methods, layers or classes disagree, and print their rank correlations.
    trust
        Also test every map of one image, as `camlucida trust` does, and print the verdicts: about 125 forward passes
        for each map.
    output
        The folder to write to; for one image also a file, such as cat.png: .pdf and .svg have text as text and images
        with 300 dpi, .html has controls and needs no server.
    """
    from camlucida.attribution.batches import write_behind
    from camlucida.attribution.explain_image_targets import explained_both_ways
    from camlucida.attribution.explain_many import explain_requests
    from camlucida.attribution.figure_files import FIGURE_SUFFIXES
    from camlucida.attribution.method_choice import reason_of
    from camlucida.attribution.request import AttributionRequest
    from camlucida.data.video import load_video
    from camlucida.data.volumes import is_volume_path

    keep_freed_memory()
    console = terminal.open("explain")
    files = [Path(image) for image in images] if frames is not None else input_files(images, output, volumes=True)
    if frames is not None and len(files) != 1:
        raise DataError(f"--frames explains one video, but there are {len(files)}: give one folder or file.")
    output, file_name = split_output(output, files, also=FIGURE_SUFFIXES)
    style = overlay.style()
    model = model.or_default(console)
    with console.status(model.status):
        loaded = _with_bands(model.load(), bands)
        loaded = loaded if question is None else loaded.with_question(question)
        if words:
            _check_words(loaded, target)
    named = split_list(method) or None
    methods = named or [announced_method(console, loaded)]
    reason = reason_of(named, loaded)
    position = None if slice_ is None else voxel(slice_)
    request: dict[str, Any] = {
        "target": "words" if words else _one_or_list(split_targets(target, loaded.labels)),
        "layer": _one_or_list(split_list(layer)),
        "method": _one_or_list(methods),
        "score": score,
        "options": parse_options(option or []),
        "precision": precision,
        "batch_size": batch_size,
        **({"colour": True} if colour else {}),
    }
    others = read_inputs(inputs or [])

    def save(image: Path, result: Explanation | ExplanationSet, stem: str, suffix: str = ".png") -> list[Path]:
        written = write_explanation(result, output, stem, suffix, style, maps, panels, position)
        written += write_volumes(result, output, stem, slices, style)
        if colour:
            written += write_colour(result, output / f"{stem}-colour.png")
        if export is not None:
            written += write_export(result, output / f"{stem}.{export}.json", export, image)
        return [*written, *(write_comparison(result, output / f"{stem}-disagreement.png", style) if compare else [])]

    endings = [".png", *([".", "/"] if maps or panels else []), *(["-disagreement.png"] if compare else [])]
    endings += ["-colour.png"] if colour else []
    endings += [f".{export}.json"] if export is not None else []
    if any(map(is_volume_path, files)):
        endings += ["_map.nii.gz", *(["-slices.png"] if slices is not None else [])]
    if like is not None and (len(files) != 1 or target is not None or others or frames is not None):
        raise DataError("--like compares one image with another, without --target, --input and --frames.")
    if trust and (len(files) != 1 or like is not None or frames is not None or is_volume_path(files[0])):
        raise DataError("--trust tests the maps of one image; camlucida trust tests those of many.")
    if len(files) == 1:
        result: Explanation | ExplanationSet | CamlucidaError
        with progress_bar(console) as progress:
            bars = ExplanationProgress(progress, 1, ", ".join(methods))
            sources: Sequence[Any] = files if frames is None else [load_video(files[0], n_frames=frames)]
            made = AttributionRequest.of(**request, method_reason=reason, progress=bars.runs)
            if like is not None:
                result = explained_both_ways(loaded, files[0], like, made)
            else:
                ((_, result),) = explain_requests(loaded, sources, made, others)
        if isinstance(result, CamlucidaError):
            raise result
        tested, result = result, with_margin(result) if margin else result
        if file_name:
            suffix = Path(file_name).suffix
            stem = free_stem(Path(file_name).stem, output, [suffix, *endings[1:]], overwrite=overwrite)
            written = save(files[0], result, stem, suffix)
        else:
            written = save(files[0], result, output_stems(files, output, endings, overwrite=overwrite)[files[0]])
        console.add(images=[as_json(files[0], result)])
        print_explanation(console, result, written, brief=False)
        if compare:
            print_agreement(console, result)
        if trust:
            print_verdicts(console, loaded, tested)
        return console.finish()
    settings = {
        **model_settings(loaded),
        **{key: value for key, value in request.items() if key != "batch_size"},
        "style": style,
        "outputs": endings,
        **({"inputs": sorted(inputs)} if inputs else {}),
        **({"margin": True} if margin else {}),
    }
    table = ResultsTable(output, COLUMNS, {"command": "explain", **settings}, files, overwrite=overwrite)
    stems = table.stems(endings, overwrite=overwrite)
    done: list[dict[str, Any]] = []

    def save_one(of_image: tuple[Any, Explanation | ExplanationSet | CamlucidaError]) -> list[Path]:
        file, result = of_image
        return [] if isinstance(result, CamlucidaError) else save(Path(str(file)), result, stems[Path(str(file))])

    if table.done:
        console.print_line(f"{len(table.done)} of {len(files)} images are in {table.path} already.")
    with table, progress_bar(console, len(files)) as progress:
        bars = ExplanationProgress(progress, len(files), ", ".join(methods))
        bars.resume(len(table.done))
        attribution_request = AttributionRequest.of(**request, method_reason=reason, progress=bars.runs)
        explained = explain_requests(loaded, table.open_images, attribution_request, others)
        explained = ((file, with_margin_or_error(result)) for file, result in explained) if margin else explained
        for (file, result), written in write_behind(explained, save_one):
            path = Path(str(file))
            if isinstance(result, NothingFound):
                table.add(path, [nothing_row(path, result)])
                done.append({"image": str(path), "model": loaded.name, "target": result.summary, "maps": []})
                console.print_line(f"{path.name}: {result.summary}")
            elif isinstance(result, CamlucidaError):
                table.add(path, [failure_row(path, result)])
                console.print_failure(path.name, result)
            else:
                table.add(path, table_rows(path, result, written))
                done.append(as_json(path, result))
                print_explanation(console, result, written, brief=True)
            bars.advance()
    console.add(images=done, n_resumed=len(table.done))
    n_explained = len(files) - table.n_failed - table.n_empty
    empty = f"{table.n_empty} with nothing to explain, " if table.n_empty else ""
    console.print_line(f"{n_explained} explained, {empty}{table.n_failed} failed: {table.path}")
    console.note_files([table.path])
    return console.finish(exit_code(len(files) - table.n_failed, table.n_failed))


def _with_bands(model: Model, bands: str | None) -> Model:
    """Return the model with the bands that --bands names for display."""
    if bands is None:
        return model
    numbers = re.fullmatch(r"\s*([0-9]{1,4})\s*,\s*([0-9]{1,4})\s*,\s*([0-9]{1,4})\s*", bands)
    if numbers is None:
        raise ModelError(f"--bands {bands}: must be three numbers of bands from 1, such as 3,2,1.")
    red, green, blue = map(int, numbers.groups())
    return replace(model, preprocessing=replace(model.preprocessing, display_bands=(red, green, blue)))


def _check_words(model: Model, target: Any) -> None:
    """Raise the error for --words where there are no words, or other targets are given as well."""
    if getattr(model.image_targets, "kind", "") != "caption":
        raise ModelError(
            f"--words explains the words that a network writes, and {model.name} writes none. Leave it out; for a "
            "network that answers questions, add --question."
        )
    if target is not None:
        raise ModelError("--words explains every word, and --target names one: give one of them.")


def _one_or_list(values: list[str] | None) -> Any:
    return values[0] if values is not None and len(values) == 1 else values or None
