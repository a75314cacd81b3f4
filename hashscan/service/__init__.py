"""The central service: imports hash lists, admits providers, publishes a filter for each, answers agents, keeps receipts.

::

    admin        what an operator does, one function each          run, embedded   the process that answers agents
      rows -> merging -> importing     a list comes in             app, parsing    the HTTP door (docs/wire.md)
      publishing                       filters go out              confirming, receiving, listing   what it answers
    tables, store                      the database and its folder

FastAPI, SQLAlchemy and uvicorn live here and nowhere else (extra `service`). A digest never leaves this room: filters hold
tokens, answers hold tags, and neither messages nor logs name one.
"""
