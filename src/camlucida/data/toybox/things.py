"""Car, house, tree, mug, key and boat."""

from __future__ import annotations

from camlucida.data.toybox.curves import blob, box, ellipse, mirror, polygon, ring, stroke
from camlucida.data.toybox.kinds import Kind, part
from camlucida.data.toybox.palette import AUTUMN, BROWN, GOLD, GREEN, GREY

# From the side, driving to the right.
CAR = Kind(
    "car",
    (
        part(
            "body",
            polygon(
                "body",
                (-0.97, 0.36),
                (-0.97, 0.02),
                (-0.88, -0.06),
                (-0.60, -0.10),
                (-0.36, -0.48),
                (-0.28, -0.52),
                (0.30, -0.52),
                (0.38, -0.48),
                (0.62, -0.10),
                (0.88, -0.02),
                (0.97, 0.08),
                (0.97, 0.36),
            ),
            box("dark", -0.97, 0.28, 0.97, 0.38, rim=0),
        ),
        part(
            "windows",
            polygon("glass", (-0.44, -0.10), (-0.26, -0.40), (-0.04, -0.40), (-0.04, -0.10), rim=0.025),
            polygon("glass", (0.06, -0.10), (0.06, -0.40), (0.27, -0.40), (0.46, -0.10), rim=0.025),
        ),
        part(
            "door",
            stroke("line", 0.03, (0.01, -0.44), (0.01, 0.28), rim=0),
            stroke("line", 0.03, (0.50, -0.06), (0.46, 0.12), rim=0),
            stroke("light", 0.05, (0.08, 0.02), (0.20, 0.02), rim=0),
        ),
        part(
            "lights",
            ellipse("yellow", 0.90, 0.10, 0.07, 0.08, rim=0.02),
            box("red", -0.97, 0.04, -0.89, 0.18, rim=0.02),
        ),
        part(
            "wheels",
            *mirror(ellipse("black", 0.54, 0.38, 0.23, 0.23, rim=0.02)),
            *mirror(ellipse("light", 0.54, 0.38, 0.11, 0.11, rim=0)),
            *mirror(ellipse("line", 0.54, 0.38, 0.04, 0.04, rim=0)),
        ),
    ),
)

HOUSE = Kind(
    "house",
    (
        part("chimney", box("wood", 0.36, -0.86, 0.60, -0.20), box("dark", 0.32, -0.90, 0.64, -0.80, rim=0.02)),
        part("walls", box("body", -0.72, -0.15, 0.72, 0.90), box("dark", -0.72, 0.80, 0.72, 0.90, rim=0)),
        part(
            "roof",
            polygon("accent", (-0.96, -0.10), (0.0, -0.92), (0.96, -0.10)),
            stroke("light", 0.05, (-0.86, -0.14), (0.86, -0.14), rim=0),
        ),
        part(
            "door",
            box("wood", -0.17, 0.34, 0.17, 0.90, rim=0.03),
            ellipse("yellow", 0.10, 0.62, 0.04, 0.04, rim=0),
        ),
        part(
            "windows",
            *mirror(
                box("glass", 0.30, 0.16, 0.60, 0.48, rim=0.03),
                stroke("white", 0.04, (0.45, 0.17), (0.45, 0.47), rim=0),
                stroke("white", 0.04, (0.31, 0.32), (0.59, 0.32), rim=0),
            ),
            ellipse("glass", 0, -0.42, 0.13, 0.13, rim=0.03),
        ),
    ),
    turn=14.0,
)

TREE = Kind(
    "tree",
    (
        part(
            "trunk",
            blob(
                "wood",
                (-0.26, 0.96),
                (-0.13, 0.70),
                (-0.10, 0.10),
                (0.10, 0.10),
                (0.13, 0.70),
                (0.26, 0.96),
                (0.0, 0.90),
            ),
            stroke("wood", 0.10, (0.04, 0.50), (0.30, 0.20)),
        ),
        part(
            "crown",
            ellipse("body", 0.0, -0.52, 0.46, 0.44),
            ellipse("body", -0.46, -0.16, 0.40, 0.36),
            ellipse("body", 0.46, -0.16, 0.40, 0.36),
            ellipse("body", 0.0, 0.02, 0.44, 0.32),
            ellipse("light", -0.14, -0.66, 0.16, 0.10, -25, rim=0),
            ellipse("light", -0.56, -0.28, 0.13, 0.09, -25, rim=0),
            ellipse("light", 0.36, -0.30, 0.13, 0.09, -25, rim=0),
            ellipse("dark", 0.10, 0.18, 0.18, 0.07, 0, rim=0),
        ),
        part(
            "fruit",
            ellipse("red", 0.18, -0.52, 0.085, 0.085, rim=0.02),
            ellipse("red", -0.36, -0.02, 0.085, 0.085, rim=0.02),
            ellipse("red", 0.54, -0.02, 0.085, 0.085, rim=0.02),
            ellipse("red", -0.04, -0.18, 0.085, 0.085, rim=0.02),
        ),
    ),
    natural=(GREEN, GREEN, AUTUMN),
)

MUG = Kind(
    "mug",
    (
        part(
            "steam",
            stroke("white", 0.07, (-0.28, -0.60), (-0.36, -0.72), (-0.22, -0.84), (-0.30, -0.98), rim=0.015),
            stroke("white", 0.07, (0.06, -0.60), (-0.02, -0.72), (0.12, -0.84), (0.04, -0.98), rim=0.015),
        ),
        part("handle", ring("body", 0.56, 0.14, 0.30, 0.34, 0.15)),
        part(
            "body",
            blob(
                "body",
                (-0.70, -0.42),
                (-0.10, -0.34),
                (0.50, -0.42),
                (0.49, 0.30),
                (0.42, 0.76),
                (-0.10, 0.84),
                (-0.62, 0.76),
                (-0.69, 0.30),
            ),
            stroke("light", 0.09, (-0.56, -0.14), (-0.55, 0.30), (-0.50, 0.58), rim=0),
        ),
        part(
            "rim",
            ellipse("light", -0.10, -0.42, 0.60, 0.15),
            ellipse("coffee", -0.10, -0.40, 0.48, 0.095, rim=0),
        ),
        part(
            "heart",
            blob(
                "accent",
                (-0.06, 0.12),
                (0.08, 0.00),
                (0.24, 0.10),
                (0.16, 0.32),
                (-0.06, 0.52),
                (-0.28, 0.32),
                (-0.36, 0.10),
                (-0.20, 0.00),
                rim=0.02,
            ),
        ),
    ),
)

KEY = Kind(
    "key",
    (
        part("teeth", box("body", 0.48, 0.02, 0.62, 0.40), box("body", 0.74, 0.02, 0.92, 0.32)),
        part(
            "shaft",
            stroke("body", 0.19, (-0.22, 0.0), (0.92, 0.0)),
            stroke("light", 0.045, (-0.14, -0.04), (0.88, -0.04), rim=0),
            box("dark", -0.16, -0.15, -0.06, 0.15, rim=0.02),
        ),
        part(
            "bow",
            ring("body", -0.56, 0.0, 0.31, 0.33, 0.20),
            stroke("light", 0.05, (-0.82, -0.12), (-0.70, -0.28), (-0.50, -0.34), rim=0),
        ),
    ),
    natural=(GOLD, GREY),
    turn=70.0,
)

BOAT = Kind(
    "boat",
    (
        part("mast", stroke("wood", 0.08, (0.0, 0.42), (0.0, -0.94), rim=0.025)),
        part("flag", polygon("red", (0.04, -0.98), (0.34, -0.88), (0.04, -0.78), rim=0.02)),
        part(
            "sails",
            blob("white", (0.10, -0.72), (0.30, -0.40), (0.74, 0.22), (0.40, 0.27), (0.10, 0.24), (0.08, -0.30)),
            blob(
                "accent",
                (-0.09, -0.62),
                (-0.08, -0.20),
                (-0.09, 0.24),
                (-0.40, 0.26),
                (-0.62, 0.20),
                (-0.30, -0.24),
            ),
        ),
        part(
            "hull",
            polygon(
                "body",
                (-0.94, 0.36),
                (0.94, 0.36),
                (0.80, 0.66),
                (0.62, 0.86),
                (0.50, 0.90),
                (-0.56, 0.90),
                (-0.70, 0.82),
                (-0.84, 0.62),
            ),
            polygon("light", (-0.94, 0.36), (0.94, 0.36), (0.90, 0.45), (-0.91, 0.45), rim=0),
        ),
        part(
            "portholes",
            ellipse("glass", -0.40, 0.64, 0.09, 0.09, rim=0.025),
            ellipse("glass", 0.0, 0.64, 0.09, 0.09, rim=0.025),
            ellipse("glass", 0.40, 0.64, 0.09, 0.09, rim=0.025),
        ),
    ),
    natural=(BROWN,),
)
