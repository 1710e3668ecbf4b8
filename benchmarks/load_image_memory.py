"""Peak memory of `load_image` on its largest images: python benchmarks/load_image_memory.py [--side 9459].

Every file is written and read in a process of its own; MiB of resident memory at the most, with the interpreter. A
file that is refused gives the error instead.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "load_image_memory.json"
KINDS = ("RGB JPEG", "RGBA PNG", "16-bit PNG", "float TIFF", "float TIFF deflate", "rotated JPEG", "1 column", "1 row")

READ = """
import sys, resource
from camlucida.data.images import load_image
try:
    size, error = load_image(sys.argv[1]).size, ""
except Exception as raised:
    error = f"{type(raised).__name__}: {raised}"
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, error)
"""


def write(kind: str, path: str, side: int) -> None:
    """Write an image of side x side pixels, or of as many in one row or column."""
    import numpy as np
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    square = (side, side)
    if kind in ("RGB JPEG", "rotated JPEG"):
        exif = Image.Exif()
        exif[0x0112] = 6 if kind == "rotated JPEG" else 1
        Image.new("RGB", square, (9, 99, 199)).save(path, "JPEG", exif=exif)
    elif kind == "RGBA PNG":
        Image.new("RGBA", square, (9, 99, 199, 99)).save(path, "PNG", compress_level=1)
    elif kind == "16-bit PNG":
        Image.fromarray(np.full(square, 9999, np.uint16)).save(path, "PNG", compress_level=1)
    elif kind.startswith("float TIFF"):
        compression = "tiff_adobe_deflate" if kind.endswith("deflate") else None
        Image.new("F", square, 0.5).save(path, "TIFF", compression=compression)
    else:
        n_pixels = side * side // 1000 * 1000
        size = (1, n_pixels) if kind == "1 column" else (n_pixels, 1)
        Image.new("L", size).save(path, "TIFF" if kind == "1 row" else "BMP")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=9459)
    parser.add_argument("--label", default="after")
    parser.add_argument("--write", nargs=2, metavar=("KIND", "PATH"))
    arguments = parser.parse_args()
    if arguments.write:
        write(*arguments.write, arguments.side)
        return
    stored = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "image")
        for kind in KINDS:
            subprocess.run([sys.executable, __file__, "--side", str(arguments.side), "--write", kind, path], check=True)
            read = subprocess.run([sys.executable, "-c", READ, path], capture_output=True, text=True, check=True)
            peak, _, error = read.stdout.strip().partition(" ")
            stored.setdefault(kind, {})[arguments.label] = {
                "MiB": round(float(peak)),
                "error": error.replace(path, "the file"),
            }
            print(kind, stored[kind][arguments.label], flush=True)
            os.remove(path)
    RESULTS.write_text(json.dumps(stored, indent=2) + "\n")


if __name__ == "__main__":
    main()
