"""How long the harnesses with a budget run: HASHSCAN_BUDGET multiplies their number of attempts, 1 by default."""

from __future__ import annotations

import os


def attempts(usual: int) -> int:
    """``usual`` attempts, times the budget; at least one."""
    return max(1, round(usual * float(os.environ.get("HASHSCAN_BUDGET", "1"))))
