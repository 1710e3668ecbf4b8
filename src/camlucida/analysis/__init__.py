"""Analyses of a model over a data set: errors, embeddings of its features, and maps over training checkpoints."""

from camlucida.analysis.checkpoint_timeline import film
from camlucida.analysis.embeddings import Embedding, embed
from camlucida.analysis.error_analysis import mistakes
from camlucida.analysis.film_result import Film
from camlucida.analysis.mistakes_result import Mistakes

__all__ = ["Embedding", "Film", "Mistakes", "embed", "film", "mistakes"]
