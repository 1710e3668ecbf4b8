"""Colour maps as data: a few control colours with linear interpolation (at most 2 levels from the original)."""

from __future__ import annotations

from typing import NamedTuple


class Palette(NamedTuple):
    """The control colours of a colour map.

    Attributes:
        colours: Colours as rrggbb.
        positions: Position of each colour, from 0 to 1.
        diverging: Whether zero is in the middle.
    """

    colours: tuple[str, ...]
    positions: tuple[float, ...]
    diverging: bool = False


def _parse(colours: str) -> tuple[str, ...]:
    return tuple(colours.split())


def _evenly_spaced(colours: str, diverging: bool = False) -> Palette:
    parts = _parse(colours)
    return Palette(parts, tuple(i / (len(parts) - 1) for i in range(len(parts))), diverging)


PALETTES: dict[str, Palette] = {
    # Ours, Apache-2.0. Violet, red, orange, yellow at even steps of OKLab. Lightness increases monotonically (0.30
    # to 0.93), so it is legible without colour vision and in greyscale. It starts at violet rather than at black, as
    # inferno and magma do, because a faint layer of black makes a photograph look dirty.
    "ember": _evenly_spaced(
        "2c176f 401c86 581f95 72219e 8d229c a62392 bd2485 d42574 e9255e f93042 fb5432 fd7129 fe8b2b ffa437 "
        "febd4a fdd55e fdeb61"
    ),
    # Ours, Apache-2.0. Blue, nearly white, red-orange. Both arms are equally light in OKLab, and blue and red-orange
    # are distinguishable with all common kinds of colour blindness.
    "signed": _evenly_spaced(
        "0d3686 0d4fa0 116aba 1f85d1 41a0e2 6fb7e4 9fcce2 cbe0e6 f5f5f5 ead7ca ecb797 f09464 f36d2e dd4717 "
        "bd2c0f 9a1309 760909",
        diverging=True,
    ),
    # Stéfan van der Walt, Nathaniel Smith, Eric Firing, for matplotlib; CC0.
    "viridis": _evenly_spaced(
        "440154 470d60 48186a 482374 472d7b 453681 424086 3f4989 3b528b 375a8d 33638d 2f6a8e 2c728e 297a8e "
        "26818e 23898e 21908d 1f988b 1e9f88 21a685 27ae80 31b57b 3dbc74 4cc26c 5cc963 6ece58 81d44c 96d840 "
        "abdc32 c0df24 d5e219 eae519 fde725"
    ),
    "magma": _evenly_spaced(
        "000004 090821 1c1246 350f6c 51117d 691c81 822682 9c2e80 b6367a d04070 e75063 f5695b fc8760 fea570 "
        "fec387 fde0a1 fcfdbf"
    ),
    # Anton Mikhailov, Google, 2019; Apache-2.0.
    "turbo": _evenly_spaced(
        "30123b 3a2a74 4040a2 4556c7 476be4 477ff7 4393ff 37a8fb 29bbec 1ccdd8 17dcc3 1de8b0 30f299 4cf97e "
        "6bfe63 8aff4c a3fd3c b8f734 cced34 dee037 edd03a f8c03a fdae35 fe982c fc8022 f56817 ec520e e14009 "
        "d23105 c12302 ac1701 950c01 7a0403"
    ),
    # The colour map of the papers. Its yellow and cyan rings suggest edges that the map does not have. Piecewise
    # linear by definition, with the corners of matplotlib's (matplotlib licence, BSD-like).
    "jet": Palette(
        _parse("000080 0000ff 0000ff 00dbff 00e5f7 15ffe2 efff08 f7f600 ffec00 ff1300 e80000 800000"),
        (0.0, 0.11, 0.125, 0.34, 0.35, 0.375, 0.64, 0.65, 0.66, 0.89, 0.91, 1.0),
    ),
}

DEFAULT_COLORMAP = "ember"

CATEGORICAL_COLOURS = _parse("d55e00 0072b2 009e73 cc79a7 e69f00 56b4e9 882255 999933 332288 f0e442 44aa99 8a5a2b")
"""Categorical colours: Okabe and Ito's, then Paul Tol's. They are distinguishable with all common kinds of colour
blindness, the first seven best.
"""
