#!/usr/bin/python3 -IS
# ruff: noqa: E402, RUF005, S606, UP031 - read by old interpreters, which must be able to say that they are old
"""Starts hashscan from the folder that the package brings, which serves Python 3.11 to 3.14.

-I and -S: neither the environment, nor the current folder, nor what pip put beside Debian's or a user's modules is run by root.
Where /usr/bin/python3 is older (or newer), one that fits is looked for. This file must be understood by old interpreters too.
"""

import os
import sys

OLDEST, NEWEST = (3, 11), (3, 14)

if not OLDEST <= sys.version_info[:2] <= NEWEST:
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        program = "/usr/bin/python3.%d" % minor
        if os.access(program, os.X_OK):
            os.execv(program, [program, "-IS", os.path.realpath(__file__)] + sys.argv[1:])
    sys.stderr.write("hashscan: needs Python %d.%d to %d.%d, this is %d.%d\n" % (OLDEST + NEWEST + sys.version_info[:2]))
    sys.stderr.write("          install one of them as /usr/bin/python3.x\n")
    sys.exit(2)

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "lib", "hashscan"))

from hashscan.cli.main import main

main()
