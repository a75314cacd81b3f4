"""Eyes on the scanned disk: walks, reads and hashes, and writes nothing there.

``roots`` says where to begin, ``walk`` what is still to be done, ``descriptors`` and ``listing`` touch directories, ``hashing``
touches files, ``sifter`` is one worker, ``engine`` is all of them.
"""
