"""hashscan: find known material on a server by its digests, confirm it, and only then quarantine it.

The floor plan. A module imports from lower floors only, and the tools never see each other::

    doors    cli/  service/            people come in by cli, agents come in by service
    jobs     jobs/                     scan sync confirm restore selftest status ... : verbs, one sentence each
    tools    files/ known/ central/ quarantine/ report/      the places we touch
    ground   model ports settings errors flow atomic fsops strict_json units

``files`` only reads the scanned disk, ``quarantine`` holds the only code that may change a scanned file, ``known`` is what
this host knows without asking, ``central`` is what crosses the network, and ``report`` is what leaves for eyes and machines.
``jobs/scan.py`` is the program on one screen. ``tests/house`` keeps all of this true.
"""

__version__ = "0.1.0"
