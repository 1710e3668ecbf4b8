"""Generate docs/methods.md and docs/metrics.md from the registries and, with `--images`, the documentation's images."""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path

from camlucida.methods import Combinator, Method, combinators, methods
from camlucida.metrics import Metric, metrics, presets

ROOT = Path(__file__).resolve().parents[1]
METHODS_PAGE = ROOT / "docs" / "methods.md"
METRICS_PAGE = ROOT / "docs" / "metrics.md"
IMAGE_SCRIPTS = (
    "volumes.py",
    "source_images.py",
    "whole_image.py",
    "detection_images.py",
    "segmentation.py",
    "image_text.py",
    "captions.py",
)
"""Scripts beside this one that render images of their own; those of the app are made by screenshots.py."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only report whether the pages are current")
    parser.add_argument("--images", action="store_true", help="also render the images again")
    arguments = parser.parse_args()
    for page, text in ((METHODS_PAGE, methods_page()), (METRICS_PAGE, metrics_page())):
        is_current = page.exists() and page.read_text(encoding="utf-8") == text
        if arguments.check and not is_current:
            sys.exit(f"{page.name} is not current. Run docs/generate.py.")
        if not arguments.check:
            page.write_text(text, encoding="utf-8")
    if arguments.images:
        save_images()


def methods_page() -> str:
    """Return the text of docs/methods.md: the tables of methods and combinators, then one section for each of them."""
    introduction = (
        "# Methods\n\nGenerated from the registry by `docs/generate.py`. Raw maps are signed and lie on the layer's"
        " grid. The paper's ReLU, bilinear upsampling (half-pixel centres) and scaling by the maximum are applied once,"
        " for display only. The column *inputs* names what a method asks the engine for; see"
        " [A method of your own](new-method.md).\n\n"
    )
    about_combinators = (
        "\n# Combinators\n\nA combinator is applied to any method, or to another combinator: `refine(layer_cam)`, "
        "`smooth(positive(hires_cam), n=4)`. Options of a method go into its own brackets: "
        "`flips(ablation_cam(infill=0.5))`. Parts and fusions need no further run of the network. Fusions use "
        "the requested layers, or all candidates.\n"
    )
    return (
        introduction
        + method_table()
        + "\n\n"
        + combinator_table()
        + "\n"
        + "".join(method_section(m) for m in methods().values())
        + about_combinators
        + "".join(combinator_section(c) for c in combinators().values())
    )


def method_table() -> str:
    """Return a table with one row per method: name, summary, inputs and paper."""
    rows = ["| method | summary | inputs | paper |", "|---|---|---|---|"]
    rows += [
        f"| [`{m.name}`](#{m.name}) | {m.summary} | {', '.join(m.needs)} | {m.paper.partition(':')[0]} |"
        for m in methods().values()
    ]
    return "\n".join(rows)


def combinator_table() -> str:
    """Return a table with one row per combinator: name, summary and options."""
    rows = ["| combinator | summary | options |", "|---|---|---|"]
    rows += [f"| [`{c.name}`](#{c.name}) | {c.summary} | {_options(c.options)} |" for c in combinators().values()]
    return "\n".join(rows)


def method_section(m: Method) -> str:
    """Return the section of one method: its docstring, paper, deviation, display and options."""
    displayed = "the positive part" if m.relu else "all values"
    return (
        f"\n## {m.name}\n\n{m.summary}\n{_details(m.doc)}\n"
        f"- Paper: {m.paper}\n- Deviation: {m.deviation}\n"
        f"- Part of the map that the paper uses: {displayed}.\n- Options: {_options(m.options)}\n"
    )


def combinator_section(c: Combinator) -> str:
    """Return the section of one combinator: its docstring, paper, deviation and options."""
    return (
        f"\n## {c.name}\n\n{c.summary}\n{_details(c.doc)}\n"
        f"- Paper: {c.paper}\n- Deviation: {c.deviation}\n- Options: {_options(c.options)}\n"
    )


def metrics_page() -> str:
    """Return the text of docs/metrics.md: the table of metrics, then one section for each of them."""
    introduction = (
        "# Metrics\n\nGenerated from the registry by `docs/generate.py`. A metric is found by its name or an alias (the"
        " name in its paper or in other libraries); results contain the name in the first column. Its inputs are"
        " documented in `camlucida.metrics.registry`. [Evaluation](evaluation.md) measures them on a data set.\n\n"
    )
    return introduction + metric_table() + "\n" + "".join(metric_section(m) for m in metrics().values())


def metric_table() -> str:
    """Return a table with one row per metric: name, aliases, group and summary."""
    rows = ["| metric | aliases | group | summary |", "|---|---|---|---|"]
    rows += [
        f"| [`{m.name}`](#{m.name}) | {', '.join(f'`{alias}`' for alias in m.aliases)} | {m.group} | {m.summary} |"
        for m in metrics().values()
    ]
    return "\n".join(rows)


def metric_section(m: Metric) -> str:
    """Return the section of one metric: its docstring, paper, deviation, aliases, options and presets."""
    aliases = ", ".join(f"`{alias}`" for alias in m.aliases) or "none"
    own_presets = ", ".join(f"`{name}`" for name, preset in presets().items() if preset.metric is m) or "none"
    return (
        f"\n## {m.name}\n\n{m.summary}\n{_details(m.doc)}\n"
        f"- Paper: {m.paper}\n- Deviation: {m.deviation}\n- Aliases: {aliases}\n- Options: {_options(m.options)}\n"
        f"- Presets: {own_presets}\n"
    )


def _details(doc: str) -> str:
    """Return what follows the first line of a docstring, as a block with its line breaks kept."""
    details = doc.partition("\n\n")[2]
    return f"\n```text\n{details}\n```\n" if details else ""


def _options(options: Mapping[str, object]) -> str:
    return ", ".join(f"`{name}={default!r}`" for name, default in options.items()) or "none"


def save_images() -> None:
    """Render the images of the README and of docs/concepts.md from the built-in scenes and networks."""
    from camlucida import concepts, explain
    from camlucida.data import toybox

    kinds = (["cat", "dog"], ["dog", "cat"], ["bird", "tree"], ["boat", "fish"])
    images = [toybox.scene(seed, kinds=of, objects=2, size=384).picture() for seed, of in enumerate(kinds, start=4)]
    explanations = explain("toybox", images[0], target=["cat", "dog", "cat rather than dog"], layer="layer?")
    explanations.figure(density=1.0).quantize(192).save(ROOT / "docs" / "images" / "layers-classes.png", optimize=True)
    result = concepts("toybox", images, k=6)
    result.figure(density=1.0).save(ROOT / "docs" / "images" / "concepts.jpg", quality=88, optimize=True)
    for script in IMAGE_SCRIPTS:
        runpy.run_path(str(ROOT / "docs" / script), run_name="__main__")


if __name__ == "__main__":
    main()
