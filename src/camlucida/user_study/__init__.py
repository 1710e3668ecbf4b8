"""Blind studies of saliency maps with participants: pairwise preferences, ratings, and their analysis."""

from camlucida.user_study.bradley_terry import bradley_terry_strengths
from camlucida.user_study.create import make_study
from camlucida.user_study.results import PreferenceResults, answers_csv, results
from camlucida.user_study.study import Study, Trial

__all__ = ["PreferenceResults", "Study", "Trial", "answers_csv", "make_study", "results", "bradley_terry_strengths"]
