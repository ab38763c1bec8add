"""The day that ages of prices are counted from: one place, so that tests can stop the clock."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import date, datetime, timezone


def today() -> date:
    """The day on this machine's clock, or that of SOURCE_DATE_EPOCH, by which what is made can be made again.

    (reproducible-builds.org/specs/source-date-epoch: seconds since 1970, in UTC.)
    """
    with suppress(ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "")), timezone.utc).date()
    return date.today()
