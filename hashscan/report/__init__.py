"""What leaves for eyes and machines: events, their writers, and the count of everything that a run met.

``events`` turns nouns into events, ``ndjson``, ``text``, ``progress`` and ``fan`` are the `ports.Reporter` that take them,
``tally`` counts, ``escape`` makes names harmless for terminals, ``schema`` holds the promise to whoever parses us. rich is
imported by ``text`` and ``progress`` only, so that a run under cron with ``--json`` does not pay for it.
"""
