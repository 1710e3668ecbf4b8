"""Analyses of a model over a data set: errors, embeddings of its features, and maps over training checkpoints."""

from camlucida.analysis.checkpoint_timeline import Film, film
from camlucida.analysis.embeddings import Embedding, embed
from camlucida.analysis.error_analysis import Mistakes, mistakes

__all__ = ["Embedding", "Film", "Mistakes", "embed", "film", "mistakes"]
