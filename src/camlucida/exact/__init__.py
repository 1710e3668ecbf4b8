"""Networks and pictures for which it is known what a map has to show. Nothing is downloaded, nothing is trained."""

from camlucida.exact.benchmarks import BENCHMARKS, PREFIX, Benchmark, benchmark, open_benchmark
from camlucida.exact.disconnected import Disconnected, disconnected
from camlucida.exact.mosaics import mosaics
from camlucida.exact.scenes import scenes_of_size, stamped_scenes, tagged_scenes

__all__ = [
    "BENCHMARKS",
    "PREFIX",
    "Benchmark",
    "Disconnected",
    "benchmark",
    "disconnected",
    "mosaics",
    "open_benchmark",
    "scenes_of_size",
    "stamped_scenes",
    "tagged_scenes",
]
