"""The central service: imports hash lists, admits providers, publishes a filter for each, answers agents, keeps receipts.

::

    admin                        what an operator does     run, embedded    the process that answers agents
      importing                  a list comes in           app, openapi     the HTTP door (docs/wire.md)
        importers/ refusals      the formats; what is not    serving access   who asks
        merging entries feeds    what becomes of a row       enrol_routes     agents come in
        guard                    what no list may hold         enrolling
      enrolment agents           a provider is admitted
      publishing batches         filters go out              parsing          what is asked
        contents planning          what is new, and how      confirm_route asking   without a session
                                                             confirming receiving   what is answered
        building withdrawals       one file each
        sharing                    by several processes    quotas limits    how much, how often
        repository in_force      signed metadata, files    observing journal meters metrics    who watches
      ceremony root_keys keys    who signs                 schemas answers   what the document says
      tracing                    whose filter is this?
      standings reviewing        second thoughts at the machine
      disputing monitor          packages: two people decide; the check on the hash check
      notifying places counting  counts for victims' organisations, where agents are, numbers
    tables store names private_files    the database and its folder

FastAPI, SQLAlchemy and uvicorn live here and nowhere else (extra `service`). A digest never leaves this room: filters hold
tokens, answers hold tags, and neither messages nor logs name one.
"""
