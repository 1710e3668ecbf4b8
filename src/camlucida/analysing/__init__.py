"""What a model does over a data set: where it errs and what it saw then, what it takes for alike, how it came to it."""

from camlucida.analysing.embeddings import Embedding, embed
from camlucida.analysing.erring import Mistakes, mistakes
from camlucida.analysing.films import Film, film

__all__ = ["Embedding", "Film", "Mistakes", "embed", "film", "mistakes"]
