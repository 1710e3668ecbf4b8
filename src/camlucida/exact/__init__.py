"""Networks and pictures for which it is known what a map has to show. Nothing is downloaded, nothing is trained."""

from camlucida.exact.benchmarks import BENCHMARKS, PREFIX, Benchmark, benchmark, open_benchmark
from camlucida.exact.disconnected import Disconnected, disconnected
from camlucida.exact.mosaics import mosaics
from camlucida.exact.scenes import sized, stamped, tagged

__all__ = [
    "BENCHMARKS",
    "PREFIX",
    "Benchmark",
    "Disconnected",
    "benchmark",
    "disconnected",
    "mosaics",
    "open_benchmark",
    "sized",
    "stamped",
    "tagged",
]
