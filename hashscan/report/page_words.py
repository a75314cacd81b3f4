"""The fixed parts of a report's page: what its words mean, and lines to sign."""

from __future__ import annotations

_WORDS = """<section><h2>How to read this report</h2>
<p>The program computed digests (fingerprints of the bytes) of files and compared them with lists of digests of known material.
It displayed, decoded and judged nothing. A file that differs in a single byte from every listed one is not found.</p>
<dl class="facts">
<dt>Candidate</dt><dd>A file whose fingerprint may be on a list. Nothing follows from that: the filter on the host errs by
design.</dd>
<dt>Finding</dt><dd>A candidate that the authority's service, or for an audit the list itself, confirmed.</dd>
<dt>Agreement</dt><dd><em>match</em>: a digest that cannot be forged agrees. <em>weak</em>: only MD5 agrees, which somebody can
plan; such a file is never moved by itself. Then how the entry stands at the authority, and its category.</dd>
<dt>Done</dt><dd><em>quarantined</em>: taken out of the reach of the web server, evidence kept, can be restored.
<em>reported</em>: left in place. <em>held</em>: a limit stopped the removal, a person decides. <em>failed</em>: the file is
where it was.</dd>
<dt>Case</dt><dd>The number under which the evidence and its history are kept. <code>hashscan audit verdict CASE</code> proves,
offline, why a file was taken.</dd>
</dl></section>"""


def words() -> str:
    """What the words mean, for somebody who was handed the paper."""
    return _WORDS


def signatures() -> str:
    """Lines to sign, on paper only."""
    return '<div class="sign" aria-hidden="true"><div>Name</div><div>Place and date</div><div>Signature</div></div>'
