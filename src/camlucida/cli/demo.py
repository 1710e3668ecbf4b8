"""The `camlucida demo` command."""

from __future__ import annotations

from pathlib import Path

from camlucida.cli.images import free_path
from camlucida.cli.options import Output, Overwrite, Seed, TerminalOptions

SCENE_PX = 384
"""Side of a rendered scene in pixels, larger than the 96 pixels of the network input so that the panels look sharp."""


def demo(
    *,
    output: Output = Path("camlucida-out/demo"),
    seed: Seed = 4,
    overwrite: Overwrite = False,
    terminal: TerminalOptions = TerminalOptions(),
) -> int:
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
    console = terminal.open("demo")
    model = load("toybox")

    def describe(text: str, path: Path) -> None:
        console.print_line(text)
        console.print_line(f"  → {path}")
        console.note_files([path])

    def free(name: str) -> Path:
        return free_path(output / name, overwrite)

    pets = toybox.scene(seed, kinds=["cat", "dog"], objects=2, size=SCENE_PX).picture()
    (path,) = explain(model, pets, target="cat").save(free("1-cat.png"))
    describe('A cat and a dog in one image: why "cat"?', path)
    (path,) = explain(model, pets, target=["cat", "dog", "cat rather than dog"], layer="layer?").save(
        free("2-layers-classes.png")
    )
    describe("The same image: one row per class, one column per layer, from one forward pass.", path)
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
    (path,) = explain(model, pets, target=["cat", "dog"], method=methods).save(free("3-methods.png"))
    describe("Eight methods. Eigen-CAM does not depend on the class, so its two maps are equal.", path)
    stamped = toybox.scene(seed, kinds=["cat"], variant="watermark_control", size=SCENE_PX).picture()
    (path,) = explain(load("toybox:cleverhans"), stamped).save(free("4-clever-hans.png"))
    describe("A network that learned the watermark instead of the boat: right for the wrong reason, or wrong.", path)
    background = toybox.scene(seed, variant="empty", size=SCENE_PX).picture()
    (path,) = explain(model, background).save(free("5-no-object.png"))
    describe("An image without an object: the network guesses, and its map looks convincing nevertheless.", path)
    other_models = (
        (6, "vgg", "The same image, explained for a VGG, which ends in fully connected layers."),
        (7, "vit", "And for a vision transformer: its maps are coarser and include some of the background."),
    )
    for number, name, caption in other_models:
        (path,) = explain(load(f"toybox:{name}"), pets, target=["cat", "dog"]).save(free(f"{number}-{name}.png"))
        describe(caption, path)
    (path,) = explain(load("toybox:detector"), pets).save(free("8-detections.png"))
    describe("An object detector: one map per detection, each read before non-maximum suppression.", path)
    console.print_line(f"All panels are in {output}. Now try: camlucida explain your-photo.jpg")
    return console.finish()
