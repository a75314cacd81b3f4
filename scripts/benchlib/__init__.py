"""The benchmark behind ``scripts/bench``: whole processes, measured from outside, against the tools that people use today.

::

    main          what was asked for          show        tables, a plot, one line
      running     rows, one after the other   results     what was measured, and the verdict
        timing    pairs, memory, caches       verifying   the digests agree, before anything is timed
        rows      what is compared            digests     any tree, digest by digest, against coreutils and b3sum
      lists       hash lists and services     ours peers  the command lines
      corpora     the trees                   measure     one process tree, from outside
"""
