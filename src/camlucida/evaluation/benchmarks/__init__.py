"""Networks and images for which the correct map is known. They need no download and no training."""

from camlucida.evaluation.benchmarks.disconnected import Disconnected, disconnected
from camlucida.evaluation.benchmarks.mosaics import mosaics
from camlucida.evaluation.benchmarks.registry import BENCHMARKS, PREFIX, Benchmark, benchmark, open_benchmark
from camlucida.evaluation.benchmarks.scenes import scenes_of_size, stamped_scenes, tagged_scenes

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
