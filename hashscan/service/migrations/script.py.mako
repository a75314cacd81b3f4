"""${message}"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = "${up_revision}"
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Change the tables, and carry over what is in them."""
    ${upgrades if upgrades else "pass"}
