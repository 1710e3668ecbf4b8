"""The page: a typed JSON API over a model and its pictures, and the front end that is built into this package.

app        the ASGI application, made of a `Page`
page       what it serves: models, pictures, runs, a study
guard      who may ask, and how much they may send
work       a bounded queue for the network, progress, cancelling
wire       what crosses the border to the browser
routes/    one file a tab
static/    the built front end; its source is in frontend/
"""
