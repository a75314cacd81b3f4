"""The formats that lists come in, one module a format.

::

    reading            files become chunks
    opening            a file, a pipe, gzip
    formats            all of them by name, and what a file says of itself
      plain columns hashdeep clamav       line by line
      vics json_text                      JSON record by record
      ncmec                               XML entry by entry
    nsrl3              a database of harmless files; never a hash list
    port               what every reader gives

A reader gives items with their places and keeps one in memory. What cannot be read on is `BrokenSource`; what to do with an
item is decided in `importing`.
"""
