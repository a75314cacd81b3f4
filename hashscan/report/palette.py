"""Colours that can be read on dark and on light terminals, by their numbers among the 256 of xterm.

A terminal's own yellow, green and cyan are made for dark grounds: xterm's have a contrast of 1.7 to 2.2 on white. These have
4.1 to 5.1 on white and on black (WCAG 2.2, contrast ratio). Red and dim are readable on both as they are.
"""

from __future__ import annotations

PALETTE = {"yellow": 130, "green": 28, "cyan": 31}
