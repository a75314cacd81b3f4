r"""Names for terminals and logs: printable, on one line, and reversible.

A name on disk is any bytes but NUL and the slash, and the tenant chooses it. Written raw it can start a new log line, move the
cursor, colour the screen, or read backwards (bidi controls). Here each character that Python does not call printable (Unicode
categories Cc, Cf, Cs, Co, Cn, Zl, Zp, and Zs but for the plain space) becomes an escape, and so does each byte that is not
UTF-8, and the backslash itself:

=================  ==========================================================
``\\``             a backslash
``\n \r \t``       newline, carriage return, tab
``\xNN``           the byte NN: an ASCII control, or a byte that is not UTF-8
``\uNNNN``         another character below U+10000
``\UNNNNNNNN``     another character from U+10000 on
=================  ==========================================================
"""

from __future__ import annotations

import re

from hashscan.errors import UsageError

_SHORT = {"\\": b"\\", "n": b"\n", "r": b"\r", "t": b"\t"}
_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_ESCAPE = re.compile(r"\\(?:[\\nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|)")


def escape(name: bytes) -> str:
    """``name`` as one printable line, by the table above. `unescape` gives the same bytes back."""
    text = name.decode("utf-8", "surrogateescape")
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(r"\\" if char == "\\" else _shown(char) for char in text)


def unescape(text: str) -> bytes:
    """The bytes that `escape` was given. Raises `UsageError` where ``text`` is not an escaped name."""
    out = bytearray()
    end = 0
    try:
        for match in _ESCAPE.finditer(text):
            out += text[end : match.start()].encode()
            out += _meant(match[0][1:])
            end = match.end()
        out += text[end:].encode()
    except ValueError as exc:
        raise UsageError(f"not an escaped name: {exc}", hint=r"write a backslash as \\, a byte as \x0a") from None
    return bytes(out)


def printable(text: str) -> str:
    """Free text (a reason, a message, a word from the service) made safe for a terminal. Backslashes stay: not reversible."""
    if text.isprintable():
        return text
    return "".join(_shown(char) for char in text)


def _shown(char: str) -> str:
    if char.isprintable():
        return char
    if char in _NAMED:
        return _NAMED[char]
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:  # what surrogateescape makes of the bytes 0x80 to 0xff
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _meant(code: str) -> bytes:
    if code in _SHORT:
        return _SHORT[code]
    if not code:
        raise ValueError("a backslash that starts no escape")
    number = int(code[1:], 16)
    return bytes([number]) if code[0] == "x" else chr(number).encode()
