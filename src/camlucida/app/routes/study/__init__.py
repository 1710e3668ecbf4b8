"""The tab Study: make a blind study, ask its questions one by one, and say what follows from the answers.

making   GET /api/study: is there one, how far is everybody; POST /api/study/make
asking   questions and answers
found    the results, and tables of them
folder   the study of the page, and names of people

Until somebody asks for the results, nothing that is served tells whose map is whose: methods are counted, not named;
a question is known by its place in a person's own order, not by its number in the file, which follows the methods;
pictures go out without the times at which their files were written.
"""

from __future__ import annotations

from fastapi import APIRouter

from camlucida.app.routes.study import create, questions, results

router = APIRouter(tags=["study"])
for part in (create, questions, results):
    router.include_router(part.router)
