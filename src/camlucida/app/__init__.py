"""The page: a typed JSON API over a model and its pictures, and the front end that is built into this package.

page         what it serves: models (served), pictures, runs, a study, and what is kept meanwhile (memory, cache)
app          the ASGI application over a page; serving: from there to a running server
guard        who may ask, and how much they may send; connections: how long they may take; limits: what for, at most
work         a bounded queue in front of the network, progress, cancelling
wire         what crosses the border to the browser
routes/      what can be asked, a file or folder a tab; the longer answers are put together here:
             gathering, meaning (Compare), predicting (samples), scatter, confused, evaluated, runs (Data set)
static/      the built front end; its source is in frontend/
"""
