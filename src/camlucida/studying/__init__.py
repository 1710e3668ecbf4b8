"""What people say about maps, without knowing whose they are: pairs, ratings, and what follows from the answers."""

from camlucida.studying.bradley_terry import bradley_terry_strengths
from camlucida.studying.exporting import answers_csv
from camlucida.studying.making import make_study
from camlucida.studying.results import PreferenceResults, results
from camlucida.studying.store import Study, Trial

__all__ = ["PreferenceResults", "Study", "Trial", "answers_csv", "make_study", "results", "bradley_terry_strengths"]
