"""The `camlucida models` command."""

from __future__ import annotations

import importlib.util
import sys
from typing import Annotated

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from camlucida.cli.options import OUTPUT, TerminalOptions
from camlucida.cli.terminal import Terminal


def models(
    *,
    search: Annotated[str, Parameter(group=OUTPUT)] = "",
    terminal: TerminalOptions = TerminalOptions(),
) -> int:
    """List the models and whether their weights are on this machine, the explanation methods, and the combinators.

    Parameters
    ----------
    search
        List only models whose names contain this text, including those of timm; or that are of this kind:
        segmentation, detector.
    """
    console = terminal.open("models", width=None if sys.stdout.isatty() else 140)
    _print_models(console, search.lower())
    if not search:
        _print_methods(console)
        _print_combinators(console)
    return console.finish()


def _print_models(console: Terminal, search: str) -> None:
    from camlucida.models.detection.torchvision import detector_names
    from camlucida.models.download import weights_folder
    from camlucida.models.torchvision_models import classifier_names, get_weights, segmentation_names
    from camlucida.models.toybox_weights import CLASSIFIERS, DETECTORS, NETWORKS

    table = Table(title="Models (--model)", title_justify="left", box=None, pad_edge=False)
    for column in ("name", "weights", "on this machine"):
        table.add_column(column, no_wrap=column != "weights")
    scenes = "built in, 10 classes of rendered scenes"
    included = [(name, "" if name in CLASSIFIERS else "segmentation, ") for name in NETWORKS]
    for name, kind in (*included, *((name, "detector, ") for name in DETECTORS), ("captioner", "captions, ")):
        if search in f"toybox:{name}" or search in kind:
            table.add_row(f"toybox:{name}", f"{kind}{scenes}", "yes")
    kinds = (("", classifier_names()), ("segmentation, ", segmentation_names()), ("detector, ", detector_names()))
    for kind, name in ((kind, name) for kind, names in kinds for name in names):
        if search in name or search in kind:
            weights = get_weights(name)
            path = weights_folder() / weights.url.rpartition("/")[2]
            size = f"{kind}{weights.name}, {weights.meta.get('_file_size', 0):.0f} MB"
            table.add_row(name, size, "yes" if path.exists() else "no, downloaded on first use")
    if importlib.util.find_spec("timm") is None:
        table.add_row("timm:…", "over a thousand models", "needs the extra: pip install 'camlucida\\[timm]'")
    elif search:
        import timm

        for name in timm.list_pretrained(f"*{search}*"):
            table.add_row(escape(f"timm:{name}"), "from the Hugging Face hub", "")
    else:
        table.add_row("timm:…", "over a thousand models; --search finds them", "")
    if not search:
        missing = importlib.util.find_spec("transformers") is None
        note = "needs the extra: pip install 'camlucida\\[hf]'" if missing else ""
        table.add_row("hf:…", "image classifiers and encoders of transformers: hf:owner/name or hf:/path", note)
        missing = importlib.util.find_spec("open_clip") is None
        note = "needs the extra: pip install 'camlucida\\[openclip]'" if missing else ""
        table.add_row("openclip:…", "image-text models of open_clip, for --prompts: openclip:ViT-B-32@tag", note)
    names = [str(name) for name in table.columns[0].cells]
    console.add(models=[name.replace("\\[", "[") for name in names if not name.endswith("…")])
    console.print(table)
    console.print(
        "Also: a checkpoint (weights.safetensors --arch resnet18), timm:local-dir:/path, hf:/path, "
        "python:package.module:factory.",
        highlight=False,
    )
    console.print()


def _print_methods(console: Terminal) -> None:
    from camlucida.methods import methods

    table = Table(title="Methods (--method)", title_justify="left", box=None, pad_edge=False)
    for column in ("name", "description", "paper"):
        table.add_column(column, no_wrap=column == "name")
    console.add(methods=[{"name": m.name, "description": m.summary, "paper": m.paper} for m in methods().values()])
    for method in methods().values():
        table.add_row(method.name, method.summary, method.paper.partition(":")[0])
    console.print(table)


def _print_combinators(console: Terminal) -> None:
    from camlucida.methods import combinators

    console.print()
    table = Table(title="Combinators, applied to any method", title_justify="left", box=None, pad_edge=False)
    for column in ("name", "description", "options"):
        table.add_column(column, no_wrap=column == "name")
    console.add(
        combinators=[{"name": c.name, "description": c.summary, "options": c.options} for c in combinators().values()]
    )
    for entry in combinators().values():
        table.add_row(entry.name, entry.summary, ", ".join(f"{k}={v!r}" for k, v in entry.options.items()))
    console.print(table)
    console.print("For example: --method 'refine(layer_cam)', --method 'smooth(positive(hires_cam), n=4)'.")
