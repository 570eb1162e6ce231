"""Long lists, a page at a time, newest first. A row that comes or goes meanwhile shifts nothing."""

from __future__ import annotations

import base64
import json
import math
import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, tuple_

from rakinglight.errors import BadParameter, shown

#: Rows of a page if nobody says how many, and at most.
PAGE_SIZE, MOST = 50, 500


@dataclass(frozen=True)
class Page:
    """One page of a list.

    size   most rows of it
    token  that of the page before, and None for the first page

    Raises BadParameter for one that no list has.
    """

    size: int = PAGE_SIZE
    token: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.size <= MOST:
            raise BadParameter.at("/page_size", f"page_size is {self.size}; it is from 1 to {MOST}.")
        self._last()

    def of(self, connection: Connection, wanted: Select[Any], table: Table) -> tuple[list[Row[Any]], str | None]:
        """The rows of `wanted`, among whose columns are `created_at` and `id` of `table`; and the next page's token."""
        columns = table.c.created_at, table.c.id
        if last := self._last():
            wanted = wanted.where(tuple_(*columns) < last)
        wanted = wanted.order_by(*(column.desc() for column in columns)).limit(self.size + 1)
        rows = list(connection.execute(wanted))
        if len(rows) <= self.size:
            return rows, None
        return rows[: self.size], _token(rows[self.size - 1])

    def _last(self) -> tuple[float, str] | None:
        """`created_at` and `id` of the last row of the page before."""
        if not self.token:
            return None
        try:
            created_at, row_id = json.loads(base64.b64decode(self.token, b"-_", validate=True))
            if math.isfinite(created_at) and re.fullmatch(r"[\w-]{1,100}", row_id, re.ASCII):
                return float(created_at), row_id
        except (ValueError, TypeError, OverflowError, RecursionError):
            pass
        raise BadParameter.at(
            "/page_token",
            f"page_token is {shown(self.token)}, which no list gave; take next_page_token from the page before as it "
            "is, or leave it out for the first page.",
        )


def _token(row: Row[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps([row.created_at, row.id]).encode()).decode()
