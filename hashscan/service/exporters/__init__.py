"""Lists go out in the formats of other tools, for shops that use these. Digests leave the service here, and nowhere else.

::

    listing            which entries go out, the file, the record of it
      clamav hashdeep        text, a line a digest or an entry
      dcso                   the Bloom filter of DCSO's `bloom`
      private_set            the same over keyed digests, with its description
    port               what an exporter is given, and gives back
"""
