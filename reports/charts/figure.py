"""Pictures by matplotlib, without pyplot: the same drawing gives the same bytes, whatever the user's settings."""
# matplotlib's own stubs leave its keyword arguments untyped
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 150
_MOST_PIXELS = 60_000
"""matplotlib draws no PNG of 2**16 pixels or more in a direction."""


def picture(
    draw: Callable[[Figure], object],
    kind: str,
    size: tuple[float, float],
    *,
    settings: Mapping[Any, Any],
    metadata: Mapping[str, str | None] | None = None,
) -> bytes:
    """What `draw` puts on a figure of `size` (inches) as a file of `kind`: `svg` or `png`.

    `settings` are matplotlib's rcParams, over its defaults; `metadata` is what an SVG says about itself.
    """
    import matplotlib as mpl  # here: what draws nothing is not to wait for it
    from matplotlib.figure import Figure

    out = BytesIO()
    # the user's own matplotlibrc must not change the picture; a hash salt and no date make an SVG repeatable
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams["svg.hashsalt"] = "lora-plan"
        mpl.rcParams.update(dict(settings))
        # a name in a script the font lacks, or that matplotlib does not join
        warnings.filterwarnings("ignore", message="Glyph|Matplotlib currently does not support")
        figure = Figure(figsize=size, dpi=min(_DPI, _MOST_PIXELS / max(size)), layout="constrained")
        draw(figure)
        about = {"Date": None, **(metadata or {})} if kind == "svg" else {"Software": None}
        figure.savefig(out, format=kind, metadata=about)
    return out.getvalue()
