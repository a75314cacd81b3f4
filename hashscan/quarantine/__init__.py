"""The only code that may change a scanned file: it takes what a signed verdict permits, and can always give it back.

::

    policy      may this be moved?          the only place that issues a `Removal`
    vault       the door: handle, cases, restore, recover
    take        look, intent, copy, capture, verify, commit, unlink
    recovery    what a crash left half done is decided (pure) and brought to an end
    restore     the evidence goes back as a new file, under the old name, owner, mode and times
    cut_off     what became of a restore that was cut off
    record      what is known of a case, as one checked JSON document
    store       the case directories of the vault
    proofs      the signed lists that verdicts rest on, kept once for all their cases
    holding     where a file is between its place and its end
    evidence    reading, copying and digesting in one pass
    lock        one run at a time

The tenant is hostile, logged in, and runs while this runs as root: scanned paths are opened through `fsops` only.
"""
