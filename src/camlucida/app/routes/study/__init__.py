"""The tab Study: create a blind user study, answer its questions, and show the results.

create     GET /api/study: the state of the study; POST /api/study/make: create one
questions  questions and answers
results    the results, also as tables
current    the study of the app, and names of participants

Until the results are requested, no response reveals which method made a map: methods are counted, not named;
a question is identified by its position in a participant's own order, not by its number in the file, which follows the
methods; and images are served without modification times.
"""

from __future__ import annotations

from fastapi import APIRouter

from camlucida.app.routes.study import create, questions, results

router = APIRouter(tags=["study"])
for part in (create, questions, results):
    router.include_router(part.router)
