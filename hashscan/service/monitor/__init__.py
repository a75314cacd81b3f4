"""The check on the hash check: who found what, where, how much, and for how long it stayed.

::

    times        whether an agent's clock is believed: pure
    findings     outcomes become findings: pure
    keeping      and are kept, in the transaction that receives them
    figures      numbers over rows: pure
    spread       how long removals took, for a plot: pure
    fetching     the rows
    pseudonyms   what a provider is called where its name is not shown
    views        the monitor as somebody may see it
    exporting    the same as JSON and CSV, with a schema that stays

Our clock counts (when an outcome came in); the agents' times are checked, and what is in doubt does not make a share better.
"""
