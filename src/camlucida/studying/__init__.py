"""What people say about maps, without knowing whose they are: pairs, ratings, and what follows from the answers."""

from camlucida.studying.bradley_terry import strengths
from camlucida.studying.exporting import answers_csv
from camlucida.studying.making import make_study
from camlucida.studying.results import Results, results
from camlucida.studying.store import Study, Trial

__all__ = ["Results", "Study", "Trial", "answers_csv", "make_study", "results", "strengths"]
