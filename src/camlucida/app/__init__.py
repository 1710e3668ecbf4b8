"""The local web app: a typed JSON API over models and a data set, and its built front end.

app_state       the models, images, runs and study that are served; caches: results that are kept in memory
app             the ASGI application; server: the running server; model_entry: one served model
security        host, origin and token checks; http_messages, request_body: headers, errors, body limits
http_protocol   connection timeouts; request_limits: cost limits of one request
jobs            bounded job queues in front of the network; job_responses: results and progress; failures: errors
schemas         the types that the API sends
routes          the endpoints, one file or folder per tab (the explain endpoint is `routes.explain`)

Longer responses are computed by map_batch and resolve_targets (tab Compare), and by scatter, confusion_view,
evaluation_view, analysis_run and analysis_runs (tab Data set). The folder static holds the built front end; its source
is in frontend/.
"""
