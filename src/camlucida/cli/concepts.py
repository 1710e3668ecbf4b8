"""The `camlucida concepts` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape

from camlucida.cli.exit_codes import exit_code
from camlucida.cli.images import input_files, output_stems, overlay_style, progress_bar
from camlucida.cli.lists import TrustCode
from camlucida.cli.terminal import Terminal
from camlucida.errors import CamlucidaError, MethodError


def concepts(
    images: Annotated[list[str], Parameter(help="Pictures, or folders of pictures.", negative=())],
    /,
    *,
    model: str = "resnet50",
    arch: str | None = None,
    trust_code: TrustCode = False,
    labels: Path | None = None,
    layer: str | None = None,
    k: Annotated[int, Parameter(name=["--concepts", "-k"])] = 6,
    seed: int = 0,
    top: Annotated[int, Parameter(name=["--top", "-n"])] = 12,
    opacity: float = 0.5,
    maps: bool = False,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("camlucida-out"),
) -> int:
    """Factorise a layer's activations into a few concepts that all images share, and score the classes by concept.

    Writes one page on which each concept has the same colour in every image. An image that cannot be read is reported
    and skipped.

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
    layer
        A layer name or index; the default layer if not given. See `camlucida layers`.
    k
        The number of concepts.
    seed
        The random seed of the initial factors.
    top
        The number of images on the page.
    opacity
        The opacity of the colours over the image, 0 to 1.
    maps
        Also save the concepts and their maps: an NPZ file, with a JSON record of the settings.
    output
        The folder to write to.
    """
    from camlucida.features.concepts import concepts
    from camlucida.models.load import load
    from camlucida.render.text import format_percent

    console = Terminal()
    if top < 1:
        raise MethodError(f"-n {top}: a page shows one or more.")
    files = input_files(images, output)
    overlay_style(opacity, None, "heat")
    with console.status(f"Loading {escape(model)} …"):
        loaded = load(model, arch=arch, trust_code=trust_code, labels=labels)
    with progress_bar(console, len(files)) as progress:
        task = progress.add_task("looking", total=len(files))

        def tick(image: Any, error: CamlucidaError | None) -> None:
            if error and len(files) > 1:
                name = escape(Path(image).name)
                console.print(f"[red]{name}[/]: {escape(str(error))}", highlight=False, soft_wrap=True)
            progress.advance(task)

        result = concepts(loaded, files, layer=layer, k=k, seed=seed, progress=tick)
    layer_name = "".join(letter if letter.isalnum() or letter in "._" else "_" for letter in result.layer)
    stem = output_stems(files, output)[files[0]] if len(files) == 1 else layer_name
    written = result.save(output / f"{stem}-concepts.png", top, opacity=opacity)
    if maps:
        written += result.save(output / f"{stem}-concepts.npz")
    for concept, (fraction, classes) in enumerate(
        zip(result.contributions.tolist(), result.classes, strict=True), start=1
    ):
        class_text = ", ".join(f"{p.name} {format_percent(p.probability)}" for p in classes[:3])
        _print(console, f"concept {concept:2}  {format_percent(fraction):>7}  {class_text}")
    _print(
        console,
        f"{result.layer}: relative error {result.error:.3f}, {_clipped_text(result.negative_fraction)} below "
        "zero left out",
    )
    if len(files) > 1:
        _print(console, f"{len(result.images)} looked at, {len(result.failed)} not")
    for path in written:
        _print(console, f"→ {path}")
    return exit_code(len(result.images), len(result.failed))


def _clipped_text(fraction: float) -> str:
    from camlucida.render.text import format_percent

    return f"{format_percent(fraction)} of the energy" if fraction else "nothing"


def _print(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
