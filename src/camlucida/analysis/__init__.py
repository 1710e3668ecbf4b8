"""What a model does over a data set: where it errs and what it saw then, what it takes for alike, how it came to it."""

from camlucida.analysis.checkpoint_timeline import Film, film
from camlucida.analysis.embeddings import Embedding, embed
from camlucida.analysis.error_analysis import Mistakes, mistakes

__all__ = ["Embedding", "Film", "Mistakes", "embed", "film", "mistakes"]
