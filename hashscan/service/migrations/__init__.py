"""How the database came to be what it is, step by step: one revision a change, applied in one transaction.

A revision is a file ``versions/rNNNN_what.py``, numbered without gaps, made with ``scripts/revision``.
CONTRIBUTING.md says how.
"""

from sqlalchemy import BigInteger, Integer

INTEGER = BigInteger().with_variant(Integer(), "sqlite")
"""What a revision writes for an integer: 64 bits in both databases."""
