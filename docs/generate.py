"""Makes what the documentation says from the code: the methods table, the methods page, the README's picture."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from camlucida.methods import Combinator, Method, combinators, methods

ROOT = Path(__file__).resolve().parents[1]
OPEN, CLOSE = "<!-- methods: made by docs/generate.py -->", "<!-- /methods -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether the files are current")
    parser.add_argument("--pictures", action="store_true", help="also draw the pictures again")
    arguments = parser.parse_args()
    stale = []
    for path, text in {ROOT / "README.md": readme(), ROOT / "docs" / "methods.md": page()}.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
            if not arguments.check:
                path.write_text(text, encoding="utf-8")
    if arguments.pictures:
        pictures()
    if arguments.check and stale:
        sys.exit(f"not current: {', '.join(stale)}. Run docs/generate.py.")


def readme() -> str:
    """The README with the table of methods as the registry has it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    before, rest = text.split(OPEN)
    return f"{before}{OPEN}\n{table()}\n{CLOSE}{rest.split(CLOSE)[1]}"


def table() -> str:
    """A row a method: name, what it does, what it needs, where it stands."""
    rows = ["| method | in plain words | needs | paper |", "|---|---|---|---|"]
    rows += [
        f"| `{m.name}` | {m.summary} | {', '.join(m.needs)} | {m.paper.partition(':')[0]} |"
        for m in methods().values()
    ]
    rows += ["", "Combinators are put on any method: `refine(layer_cam)`, `smooth(positive(hires_cam), n=4)`.", ""]
    rows += ["| combinator | in plain words | options |", "|---|---|---|"]
    rows += [f"| `{c.name}` | {c.summary} | {_options(c)} |" for c in combinators().values()]
    return "\n".join(rows)


def page() -> str:
    """docs/methods.md"""
    head = (
        "# Methods\n\nMade from the registry by `docs/generate.py`. Raw maps are signed and stand on the layer's grid;"
        " the ReLU of the paper, bilinear upsampling (half-pixel centres) and scaling by the maximum happen in one"
        " place, for display only.\n"
    )
    between = (
        "\n# Combinators\n\nPut on any method, and on each other: `refine(layer_cam)`, "
        "`smooth(positive(hires_cam), n=4)`. Options of a method go into its own brackets: "
        "`flips(ablation_cam(infill=0.5))`. Parts and fusions need no further run of the network. Fusions take "
        "the layers asked for, or all candidates.\n"
    )
    return (
        head
        + "".join(section(m) for m in methods().values())
        + between
        + "".join(combinator_section(c) for c in combinators().values())
    )


def section(m: Method) -> str:
    """One method: its docstring, its paper, where ours differs."""
    options = ", ".join(f"`{k}={v!r}`" for k, v in m.options.items()) or "none"
    shown = "the positive part" if m.relu else "all of it"
    details = m.doc.partition("\n\n")[2]
    return (
        f"\n## {m.name}\n\n{m.summary}\n\n```text\n{details}\n```\n\n"
        f"- Paper: {m.paper}\n- Deviation: {m.deviation}\n"
        f"- Of the map the paper shows {shown}.\n- Options: {options}\n"
    )


def combinator_section(c: Combinator) -> str:
    """One combinator: its docstring, its paper, where ours differs."""
    details = c.doc.partition("\n\n")[2]
    text = f"\n```text\n{details}\n```\n" if details else ""
    return (
        f"\n## {c.name}\n\n{c.summary}\n{text}\n"
        f"- Paper: {c.paper}\n- Deviation: {c.deviation}\n- Options: {_options(c)}\n"
    )


def _options(c: Combinator) -> str:
    return ", ".join(f"`{k}={v!r}`" for k, v in c.options.items()) or "none"


def pictures() -> None:
    """The pictures of the README and of docs/concepts.md, from the built-in scenes and networks."""
    from camlucida import concepts, explain
    from camlucida.data import toybox

    scene = toybox.scene(4, kinds=["cat", "dog"], objects=2, size=384).picture()
    made = explain("toybox", scene, target=["cat", "dog", "cat rather than dog"], layer="layer?")
    made.figure(density=1.0).quantize(192).save(ROOT / "docs" / "images" / "layers-classes.png", optimize=True)
    kinds = (["cat", "dog"], ["dog", "cat"], ["bird", "tree"], ["boat", "fish"])
    scenes = [toybox.scene(seed, kinds=of, objects=2, size=384).picture() for seed, of in enumerate(kinds, start=4)]
    found = concepts("toybox", scenes, k=6)
    found.figure(density=1.0).save(ROOT / "docs" / "images" / "concepts.jpg", quality=88, optimize=True)


if __name__ == "__main__":
    main()
