"""See what a deployed vision model looks at, and how it breaks.

import rakinglight

model = rakinglight.connect("http://127.0.0.1:8000").model("efficientnet-lite0")
model.saliency("cat.jpg", "gradient").overlay.show()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rakinglight.client import connect, connect_async
    from rakinglight.errors import RakinglightError
    from rakinglight.in_process import local
    from rakinglight.over_classify import black_box

__version__ = "0.1.0"
__all__ = ["RakinglightError", "__version__", "black_box", "connect", "connect_async", "local"]

#: Where a name comes from. It is loaded when it is first used: a worker wants no HTTP client, a client no torch.
_HOMES = {
    "RakinglightError": "rakinglight.errors",
    "black_box": "rakinglight.over_classify",
    "connect": "rakinglight.client",
    "connect_async": "rakinglight.client",
    "local": "rakinglight.in_process",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
