"""The OpenAPI document of the service, checked in as docs/openapi.json and compared with the code by a test.

``python -m hashscan.service.openapi > docs/openapi.json`` writes it anew.
"""

from __future__ import annotations

import sys

from hashscan.service import schemas
from hashscan.service.app import new_app


def openapi_document() -> str:
    """The document as text, with a line end."""
    return schemas.document(new_app().openapi())


if __name__ == "__main__":
    sys.stdout.write(openapi_document())
