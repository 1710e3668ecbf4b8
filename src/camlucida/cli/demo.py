"""The `camlucida demo` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from camlucida.cli.terminal import Terminal


def demo(
    *, output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("camlucida-out/demo"), seed: int = 4
) -> None:
    """Explain built-in images with the built-in networks. Nothing is downloaded.

    Parameters
    ----------
    output
        The folder to write to.
    seed
        The random seed of the scenes.
    """
    from camlucida.attribution.explain import explain
    from camlucida.data import toybox
    from camlucida.models.load import load
    from camlucida.seeds import check_seed

    check_seed(seed)
    console = Terminal()
    model = load("toybox")

    def say(what: str, path: Path) -> None:
        console.print(what, highlight=False, markup=False, soft_wrap=True)
        console.print(f"  → {path}", highlight=False, markup=False, soft_wrap=True)

    pets = toybox.scene(seed, kinds=["cat", "dog"], objects=2, size=SCENE_PX).picture()
    (path,) = explain(model, pets, target="cat").save(output / "1-cat.png")
    say('A cat and a dog in one picture: why "cat"?', path)
    (path,) = explain(model, pets, target=["cat", "dog", "cat rather than dog"], layer="layer?").save(
        output / "2-layers-classes.png"
    )
    say("The same picture, class by class and layer by layer, from one run of the network.", path)
    methods = [
        "cam",
        "grad_cam",
        "grad_cam_plusplus",
        "hires_cam",
        "layer_cam",
        "xgrad_cam",
        "eigen_cam",
        "ablation_cam",
    ]
    (path,) = explain(model, pets, target=["cat", "dog"], method=methods).save(output / "3-methods.png")
    say("Eight methods. Eigen-CAM does not ask for a class, so it gives the same map twice.", path)
    stamped = toybox.scene(seed, kinds=["cat"], variant="watermark_control", size=SCENE_PX).picture()
    (path,) = explain(load("toybox:cleverhans"), stamped).save(output / "4-clever-hans.png")
    say("A network that learned the stamp instead of the boat: right for the wrong reason, or plainly wrong.", path)
    nothing = toybox.scene(seed, variant="empty", size=SCENE_PX).picture()
    (path,) = explain(model, nothing).save(output / "5-nothing-to-see.png")
    say("Nothing to see here: the network is guessing, and its map looks convincing all the same.", path)
    other_models = (
        (6, "vgg", "The same question to another kind of network, with linear layers at its end."),
        (7, "vit", "And to a transformer: its maps are rougher, and the background takes part. Look twice."),
    )
    for number, name, caption in other_models:
        (path,) = explain(load(f"toybox:{name}"), pets, target=["cat", "dog"]).save(output / f"{number}-{name}.png")
        say(caption, path)
    console.print(
        f"All panels are in {output}. Now try: camlucida explain your-photo.jpg",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


SCENE_PX = 384
"""Side of a rendered scene in pixels, larger than the 96 pixels of the network input so that the panels look sharp."""
