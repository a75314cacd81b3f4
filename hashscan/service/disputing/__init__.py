"""Second thoughts about entries: somebody disputes one, two people decide, who acted on it is told.

::

    rules       who has decided what: pure
    acts        dispute, complain, judge, withdraw alone: in a session that writes
    entries     which entry is meant
    views       open disputes, one dispute with its history, what became of findings of an entry
"""
