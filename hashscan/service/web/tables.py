"""What is remembered of the people who use the pages. Times in seconds since 1970."""

from __future__ import annotations

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from hashscan.service.tables import Base


class PersonRow(Base):
    """Somebody who may log in. ``password``: see `passwords`; null until a set-up code was used, of which ``code_*`` tell.

    ``totp`` is the secret of the second factor, ``totp_step`` the step of the last code that was used; ``provider_id`` is set
    for people of a provider only.
    """

    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(16))
    provider_id: Mapped[int | None] = mapped_column(ForeignKey("provider.id"))
    password: Mapped[str | None] = mapped_column(String(256))
    created: Mapped[float]
    password_changed: Mapped[float | None]
    disabled: Mapped[float | None]
    last_login: Mapped[float | None]
    code_sha256: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    code_expires: Mapped[float | None]
    totp: Mapped[bytes | None] = mapped_column(LargeBinary(20))
    totp_step: Mapped[int | None]


class WebSession(Base):
    """A login that still holds. The token is with the browser; here is its SHA-256 only."""

    __tablename__ = "web_session"
    id: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id"), index=True)
    sha256: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    created: Mapped[float]
    seen: Mapped[float]
    address: Mapped[str] = mapped_column(String(64))


class LoginFailures(Base):
    """How often a login has failed since a moment: for an account or an address, of which ``what`` is a SHA-256."""

    __tablename__ = "login_failures"
    what: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    since: Mapped[float]
    count: Mapped[int]


class TrailRow(Base):
    """Who looked at or did what on the pages. Names and roles as they were then; never changed, never removed."""

    __tablename__ = "web_trail"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[float] = mapped_column(index=True)
    name: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(16))
    what: Mapped[str] = mapped_column(String(32))
    about: Mapped[str] = mapped_column(String(256))
    address: Mapped[str] = mapped_column(String(64))
