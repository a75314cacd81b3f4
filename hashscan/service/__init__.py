"""The central service: imports hash lists, admits providers, publishes a filter for each, answers agents, keeps receipts.

::

    admin                 what an operator does     run, embedded    the process that answers agents
      importing           a list comes in           app, openapi     the HTTP door (docs/wire.md)
        rows merging entries                          access         who asks
      enrolment           a provider is admitted      parsing        what is asked
      publishing          filters go out              listing confirming receiving    what is answered
      standings counting  second thoughts, numbers    schemas        what the document says
    tables store names    the database and its folder

FastAPI, SQLAlchemy and uvicorn live here and nowhere else (extra `service`). A digest never leaves this room: filters hold
tokens, answers hold tags, and neither messages nor logs name one.
"""
