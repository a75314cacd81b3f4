"""Names of every evil kind: what a tenant can call a file."""

from __future__ import annotations

from hashscan.quarantine.vault import HOLDING_NAME
from tests.support.plots import Plot

NAMES: dict[str, tuple[bytes, ...]] = {
    "newline": (b"new\nline", b"\n"),
    "carriage return": (b"harmless\rname",),
    "tab and bell": (b"\ttab\a",),
    "escape sequences": (b"\x1b[2J\x1b[31mname\x1b[1A", b"\x1bc"),
    "terminal title": (b"\x1b]0;owned\x07",),
    "terminal link": (b"\x1b]8;;http:%%x\x1b\\text\x1b]8;;\x1b\\",),
    "8-bit controls": (b"\xc2\x9b31mred", b"\x9b31mred", b"\x7f"),
    "bidi override": ("invoice\u202egpj.exe".encode(), "\u2066x\u2069".encode()),
    "zero width": ("a\u200bb".encode(), "a\u200db".encode(), "\ufeffa".encode(), "\u00ad".encode()),
    "line separators": ("a\u2028b".encode(), "a\u2029b\u0085".encode()),
    "odd spaces": ("\u00a0".encode(), "\u3000".encode(), "a\u2003b".encode()),
    "invalid UTF-8": (b"\xff\xfe", b"\x80", b"caf\xe9", b"\xf8\x88\x80\x80\x80"),
    "surrogate halves": (b"\xed\xa0\x80", b"\xed\xb0\x80", b"\xed\xa0\xbd\xed\xb8\x80"),
    "overlong UTF-8": (b"\xc0\xaf", b"\xc0\xae\xc0\xae", b"\xe0\x80\xaf", b"\xf4\x90\x80\x80"),
    "255 bytes": (b"n" * 255, b"\xff" * 255, "\u00e9".encode() * 127 + b"x"),
    "dots": (b"...", b"....", b"..name", b". ", b".."[:1] + b"\n"),
    "options": (b"-rf", b"--help", b"-", b"--", b"-0"),
    "tilde": (b"~", b"~root"),
    "glob characters": (b"*", b"?", b"[a-z]", b"{a,b}", b"!"),
    "quotes": (b'"', b"'", b"`", b'"; rm x; "'),
    "backslashes": (b"\\", b"\\\\", b"\\n", b"\\x1b[31m", b"\\udc80", b"a\\"),
    "substitutions": (b"$(id)", b"`id`", b"${HOME}", b"$'\\n'", b"|id", b"&", b";", b"<x", b">x"),
    "next to NUL": (b"\x01", b"\\0", b"%00", b"\\x00", "\u2400".encode(), b"\xc0\x80"),
    "emoji": ("\U0001f600".encode(), "\U0001f468\u200d\U0001f469\u200d\U0001f467".encode(), "\U000e0041".encode()),
    "NFC and NFD": ("caf\u00e9".encode(), "cafe\u0301".encode()),
    "case pair": (b"Photo", b"photo", b"PHOTO"),
    "spaces": (b" ", b"name ", b" name", b"  ", b"a  b"),
    "JSON": (b'","path":"x', b"}\n{", b"null", b"{}", b"\\u0000"),
    "markup": (b"[bold red]x", b"[link=x]y[=link]", b"<b>x<b>", b"%s%n", b"{0}{x!r}"),
    "spreadsheet": (b"=cmd|x!A1", b"+1", b"@x"),
    "other systems": (b"CON", b"a:b", b"name.", b"C:\\x", b"NUL"),
    "private use": ("\ue000".encode(), "\U0010ffff".encode(), "\ufffe".encode(), "\ufffd".encode()),
    "our own names": (HOLDING_NAME, b"host-id", b"checkpoint", b".hashscan", b"vault", b"events.ndjson"),
    "our temporary names": (b".tmp", b".tmp.0", b"host-id.tmp", b"tmpabcd1234", b"#deleted", b"(deleted)", b"name (deleted)"),
}
"""Kind to names. No kind holds another name of a kind before it, so that each is a fixture of its own."""


def kind(names: tuple[bytes, ...], plot: Plot) -> None:
    """Each name as a file that is found, a folder in which one is found, and one that is named as too large."""
    plot.preloaded = True
    plot.folder(b"folders", b"large")
    for name in names:
        plot.listed(name)
        plot.folder(b"folders/" + name)
        plot.listed(b"folders/" + name + b"/" + name)
        plot.too_large(b"large/" + name)


def every_byte(plot: Plot) -> None:
    """All names of one byte, and all of two that begin with a byte that begins no UTF-8."""
    for number in range(1, 256):
        if bytes([number]) not in (b"/", b"."):
            plot.listed(bytes([number]))
            plot.plain(b"\xc3" + bytes([number]))


def as_roots(plot: Plot) -> None:
    """Evil names that the operator hands over as paths to scan."""
    for names in NAMES.values():
        name = names[0]
        plot.folder(name)
        plot.listed(name + b"/f")
    plot.roots = [plot.path(names[0]) for names in NAMES.values()]
    plot.everything.discard(plot.top)
    plot.folders -= 1
