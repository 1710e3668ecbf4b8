"""Cat, dog, fish and bird. Cat and dog differ in shape, not colour: ears, muzzle, whiskers, tongue and body."""

from __future__ import annotations

from camlucida.data.toybox.curves import blob, ellipse, mirror, polygon, stroke
from camlucida.data.toybox.kinds import Kind, part
from camlucida.data.toybox.palette import AUTUMN, BROWN, GREY

# Sitting, seen from the front: pointed ears, slit pupils, whiskers, a curled tail.
CAT = Kind(
    "cat",
    (
        part(
            "tail",
            stroke("body", 0.17, (0.30, 0.82), (0.70, 0.80), (0.86, 0.48), (0.72, 0.18), (0.84, -0.02)),
        ),
        part(
            "body",
            blob(
                "body",
                (0, -0.1),
                (0.30, 0.15),
                (0.44, 0.6),
                (0.40, 0.93),
                (0, 0.97),
                (-0.40, 0.93),
                (-0.44, 0.6),
                (-0.30, 0.15),
            ),
            ellipse("light", 0, 0.45, 0.19, 0.28, rim=0),
        ),
        part("paws", *mirror(ellipse("light", 0.17, 0.90, 0.15, 0.10))),
        part(
            "ears",
            *mirror(
                polygon("body", (0.53, -0.36), (0.56, -0.99), (0.08, -0.70)),
                polygon("pink", (0.44, -0.56), (0.47, -0.85), (0.23, -0.70), rim=0),
            ),
        ),
        part(
            "head",
            blob(
                "body",
                (0, -0.78),
                (0.38, -0.68),
                (0.57, -0.36),
                (0.44, -0.04),
                (0, 0.05),
                (-0.44, -0.04),
                (-0.57, -0.36),
                (-0.38, -0.68),
            ),
            stroke("dark", 0.05, (0, -0.76), (0, -0.62), rim=0),
            *mirror(stroke("dark", 0.05, (0.12, -0.75), (0.10, -0.64), rim=0)),
        ),
        part(
            "muzzle",
            *mirror(ellipse("light", 0.095, -0.13, 0.14, 0.10, rim=0)),
            polygon("pink", (-0.08, -0.26), (0.08, -0.26), (0, -0.16), rim=0.02),
            *mirror(stroke("black", 0.03, (0, -0.16), (0.04, -0.08), (0.13, -0.08), rim=0)),
        ),
        part(
            "whiskers",
            *mirror(
                stroke("black", 0.03, (0.22, -0.17), (0.76, -0.26), rim=0),
                stroke("black", 0.03, (0.22, -0.12), (0.76, -0.07), rim=0),
            ),
        ),
        part(
            "eyes",
            *mirror(
                ellipse("yellow", 0.23, -0.38, 0.125, 0.13, rim=0.025),
                ellipse("black", 0.23, -0.38, 0.045, 0.115, rim=0),
            ),
        ),
    ),
    natural=(BROWN, GREY, AUTUMN),
)

# Standing, the head turned to the viewer: floppy ears, a large muzzle, the tongue out.
_FACE = -0.36
DOG = Kind(
    "dog",
    (
        part("tail", stroke("body", 0.15, (0.60, 0.10), (0.84, -0.12), (0.84, -0.46))),
        part(
            "legs",
            blob("dark", (-0.20, 0.40), (-0.04, 0.40), (-0.03, 0.88), (-0.22, 0.88)),
            blob("dark", (0.34, 0.40), (0.50, 0.40), (0.46, 0.88), (0.28, 0.88)),
            blob("body", (-0.48, 0.35), (-0.28, 0.35), (-0.27, 0.93), (-0.53, 0.93)),
            blob("body", (0.52, 0.25), (0.74, 0.25), (0.74, 0.93), (0.50, 0.93)),
        ),
        part(
            "body",
            blob(
                "body",
                (-0.52, 0.02),
                (0.1, -0.02),
                (0.62, -0.02),
                (0.78, 0.22),
                (0.66, 0.54),
                (0.1, 0.52),
                (-0.42, 0.58),
                (-0.60, 0.28),
            ),
            ellipse("accent", 0.34, 0.16, 0.20, 0.14, 10, rim=0),
        ),
        part(
            "collar",
            stroke("red", 0.13, (_FACE - 0.24, 0.08), (_FACE, 0.17), (_FACE + 0.24, 0.08), rim=0.02),
            ellipse("yellow", _FACE, 0.24, 0.07, 0.07, rim=0.02),
        ),
        part(
            "head",
            blob(
                "body",
                (_FACE, -0.88),
                (_FACE + 0.28, -0.80),
                (_FACE + 0.36, -0.45),
                (_FACE + 0.26, -0.08),
                (_FACE, 0.03),
                (_FACE - 0.26, -0.08),
                (_FACE - 0.36, -0.45),
                (_FACE - 0.28, -0.80),
            ),
        ),
        part(
            "ears",
            *mirror(
                blob(
                    "dark",
                    (_FACE + 0.20, -0.84),
                    (_FACE + 0.46, -0.74),
                    (_FACE + 0.60, -0.38),
                    (_FACE + 0.54, -0.06),
                    (_FACE + 0.40, -0.10),
                    (_FACE + 0.34, -0.45),
                ),
                about=_FACE,
            ),
        ),
        part(
            "tongue",
            blob(
                "pink",
                (_FACE - 0.09, -0.12),
                (_FACE + 0.09, -0.12),
                (_FACE + 0.09, 0.10),
                (_FACE, 0.17),
                (_FACE - 0.09, 0.10),
                rim=0.025,
            ),
        ),
        part(
            "muzzle",
            blob(
                "light",
                (_FACE, -0.48),
                (_FACE + 0.20, -0.36),
                (_FACE + 0.24, -0.16),
                (_FACE, -0.06),
                (_FACE - 0.24, -0.16),
                (_FACE - 0.20, -0.36),
                rim=0.02,
            ),
            ellipse("black", _FACE, -0.38, 0.13, 0.09, rim=0),
            stroke("black", 0.03, (_FACE, -0.32), (_FACE, -0.18), rim=0),
        ),
        part(
            "eyes",
            *mirror(
                ellipse("white", _FACE + 0.17, -0.58, 0.085, 0.10, rim=0.02),
                ellipse("black", _FACE + 0.15, -0.56, 0.05, 0.06, rim=0),
                about=_FACE,
            ),
        ),
    ),
    natural=(BROWN, GREY, AUTUMN),
)

# Swimming to the left.
FISH = Kind(
    "fish",
    (
        part(
            "tail",
            blob("accent", (0.42, 0.0), (0.66, -0.20), (0.97, -0.46), (0.86, 0.0), (0.97, 0.46), (0.66, 0.20)),
        ),
        part(
            "fins",
            blob("accent", (-0.20, -0.36), (0.02, -0.66), (0.34, -0.62), (0.30, -0.28), (0.05, -0.28)),
            blob("accent", (-0.02, 0.34), (0.10, 0.62), (0.30, 0.56), (0.24, 0.28)),
        ),
        part(
            "body",
            blob(
                "body",
                (-0.92, 0.04),
                (-0.62, -0.34),
                (-0.10, -0.46),
                (0.36, -0.24),
                (0.60, 0.0),
                (0.36, 0.24),
                (-0.10, 0.46),
                (-0.62, 0.36),
            ),
            blob(
                "light",
                (-0.70, 0.20),
                (-0.2, 0.20),
                (0.30, 0.12),
                (0.30, 0.22),
                (-0.10, 0.40),
                (-0.55, 0.34),
                rim=0,
            ),
        ),
        part(
            "stripes",
            stroke("accent", 0.10, (-0.08, -0.36), (0.0, 0.0), (-0.08, 0.36), rim=0),
            stroke("accent", 0.08, (0.20, -0.25), (0.26, 0.0), (0.20, 0.25), rim=0),
        ),
        part("gills", stroke("dark", 0.045, (-0.38, -0.26), (-0.28, 0.0), (-0.38, 0.26), rim=0)),
        part("side_fin", blob("accent", (-0.22, 0.06), (0.02, 0.0), (0.04, 0.20), (-0.16, 0.18), rim=0.02)),
        part("mouth", stroke("black", 0.04, (-0.88, 0.10), (-0.74, 0.14), (-0.66, 0.10), rim=0)),
        part(
            "eyes",
            ellipse("white", -0.58, -0.08, 0.12, 0.12, rim=0.02),
            ellipse("black", -0.61, -0.08, 0.06, 0.07, rim=0),
        ),
    ),
    turn=35.0,
)

# Standing, looking to the left.
BIRD = Kind(
    "bird",
    (
        part(
            "legs",
            stroke("yellow", 0.055, (-0.08, 0.50), (-0.10, 0.90), rim=0.02),
            stroke("yellow", 0.055, (0.14, 0.50), (0.14, 0.90), rim=0.02),
            stroke("yellow", 0.055, (-0.28, 0.94), (-0.10, 0.88), (0.02, 0.94), rim=0.02),
            stroke("yellow", 0.055, (-0.02, 0.95), (0.14, 0.88), (0.28, 0.94), rim=0.02),
        ),
        part("tail", polygon("dark", (0.36, 0.12), (0.94, -0.20), (0.99, 0.02), (0.93, 0.20), (0.42, 0.40))),
        part("beak", polygon("yellow", (-0.60, -0.60), (-0.99, -0.40), (-0.60, -0.34))),
        part(
            "body",
            blob(
                "body",
                (-0.10, -0.28),
                (0.34, -0.02),
                (0.56, 0.24),
                (0.34, 0.52),
                (-0.05, 0.60),
                (-0.44, 0.36),
                (-0.56, -0.05),
                (-0.50, -0.36),
            ),
            ellipse("body", -0.36, -0.48, 0.34, 0.33),
            ellipse("light", -0.22, 0.24, 0.22, 0.26, 20, rim=0),
        ),
        part(
            "crest",
            stroke("dark", 0.06, (-0.34, -0.78), (-0.26, -0.92), (-0.14, -0.94), rim=0),
            stroke("dark", 0.06, (-0.40, -0.78), (-0.40, -0.96), (-0.30, -0.99), rim=0),
        ),
        part(
            "wing",
            blob(
                "accent",
                (-0.22, -0.10),
                (0.12, -0.08),
                (0.42, 0.14),
                (0.68, 0.36),
                (0.30, 0.38),
                (-0.06, 0.26),
            ),
        ),
        part(
            "eyes",
            ellipse("white", -0.44, -0.54, 0.10, 0.10, rim=0.02),
            ellipse("black", -0.46, -0.54, 0.055, 0.06, rim=0),
        ),
    ),
)
