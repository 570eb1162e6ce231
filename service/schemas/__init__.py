"""The parts of the OpenAPI document that no parameter model says: what answers are made of."""

from __future__ import annotations

from service.schemas.components import COMPONENTS
from service.schemas.kept import KEPT
from service.schemas.keys import KEYS
from service.schemas.parts import Schema

#: All components but those of requests and replies, which `service.openapi` makes from the catalogue.
SCHEMAS: dict[str, Schema] = COMPONENTS | KEPT | KEYS
