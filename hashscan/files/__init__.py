"""Eyes on the scanned disk: walks, reads and hashes, and writes nothing there.

``roots`` says where to begin, ``walk`` what is still to be done, ``descriptors`` and ``listing`` touch directories, ``hashing``
touches files (``reading`` is how), ``sifter`` is one worker, ``engine`` is all of them, ``throttle`` slows them down, and
``checkpoint`` is what a scan leaves that was stopped.
"""
