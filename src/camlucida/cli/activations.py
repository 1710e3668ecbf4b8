"""camlucida activations"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape

from camlucida.cli.arguments import TrustCode
from camlucida.cli.exit_codes import exit_code
from camlucida.cli.pictures import files_of, look_of, progress_bar, stems_of
from camlucida.cli.terminal import Terminal
from camlucida.errors import CamlucidaError, MethodError

if TYPE_CHECKING:
    from camlucida.models.model import Model


def activations(
    images: Annotated[list[str], Parameter(help="Pictures, or folders of pictures.", negative=())],
    /,
    *,
    model: str = "resnet50",
    arch: str | None = None,
    trust_code: TrustCode = False,
    labels: Path | None = None,
    layer: str | None = None,
    target: str | None = None,
    channel: int | None = None,
    number: Annotated[int, Parameter(name=["--number", "-n"])] = 24,
    by: str = "contribution",
    opacity: float = 0.5,
    colormap: str | None = None,
    blend: str = "heat",
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("camlucida-out"),
) -> int:
    """Look into a layer: its channels on a picture, or with --channel the pictures that excite one channel most.

    Writes a contact sheet for every picture, or one for the channel. A picture that cannot be read is named and left
    out.

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
    layer
        A name or a number; the default layer if not given. See `camlucida layers`.
    target
        The class that the channels are weighed for; the predicted one if not given.
    channel
        The number of a channel: find the pictures that excite it most.
    number
        How many channels, or pictures, a sheet shows.
    by
        The order of the channels: contribution (mean gradient × mean activation), gradient, activation, channel.
    opacity
        Of the heat over the picture, 0 to 1.
    colormap
        jet, turbo, viridis, magma, or the default, which also serves the colour-blind.
    blend
        heat: the coat gets thicker with the heat; uniform: the same everywhere.
    output
        The folder to write to.
    """
    from camlucida.models.load import load

    console = Terminal()
    if number < 1:
        raise MethodError(f"-n {number}: a sheet shows one or more.")
    files = files_of(images, output)
    look = look_of(opacity, colormap, blend)
    with console.status(f"Loading {escape(model)} …"):
        loaded = load(model, arch=arch, trust_code=trust_code, labels=labels)
    if channel is not None:
        return _pictures_of_channel(console, loaded, files, layer, channel, number, output, look)
    return _channels_of_pictures(console, loaded, files, layer, target, number, by, output, look)


def _channels_of_pictures(
    console: Console,
    model: Model,
    files: list[Path],
    layer: str | None,
    target: str | None,
    number: int,
    by: str,
    output: Path,
    look: dict[str, Any],
) -> int:
    from camlucida.channels import activations

    failed, stems = 0, stems_of(files, output)
    with progress_bar(console, len(files)) as progress:
        task = progress.add_task("looking", total=len(files))
        for file in files:
            try:
                found = activations(model, file, layer=layer, target=target, by=by)
            except CamlucidaError as error:
                if len(files) == 1:
                    raise
                failed += 1
                _say_failed(console, file.name, error)
            else:
                (path,) = found.save(output / f"{stems[file]}-activations.png", number, **look)
                best = ", ".join(map(str, found.order[:5]))
                _say(console, f"{found.source}: {found.layer}, for {found.target} first channels {best} → {path}")
            progress.advance(task)
    return exit_code(len(files) - failed, failed)


def _pictures_of_channel(
    console: Console,
    model: Model,
    files: list[Path],
    layer: str | None,
    channel: int,
    number: int,
    output: Path,
    look: dict[str, Any],
) -> int:
    from camlucida.excitation import top_pictures

    with progress_bar(console, len(files)) as progress:
        task = progress.add_task("looking", total=len(files))

        def tick(image: Any, error: CamlucidaError | None) -> None:
            if error and len(files) > 1:
                _say_failed(console, Path(image).name, error)
            progress.advance(task)

        found = top_pictures(model, files, channel=channel, layer=layer, n=number, tick=tick)
    if not found.items:
        if len(files) == 1:
            raise found.failed[0][1]
        return exit_code(0, len(found.failed))
    layer_name = "".join(letter if letter.isalnum() or letter in "._" else "_" for letter in found.layer)
    (path,) = found.save(output / f"{layer_name}-channel-{channel}.png", number, **look)
    for item in found.items[:5]:
        _say(console, f"{item.strength:10.4g}  {item.source} ({item.predicted.name} {item.predicted.probability:.0%})")
    _say(console, f"{found.seen} looked at, {len(found.failed)} not")
    _say(console, f"→ {path}")
    return exit_code(found.seen, len(found.failed))


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _say_failed(console: Console, name: str, error: CamlucidaError) -> None:
    console.print(f"[red]{escape(name)}[/]: {escape(str(error))}", highlight=False, soft_wrap=True)
