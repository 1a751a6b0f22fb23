"""Imported first by a service's `__main__`: keeps out of its process what libraries bring for terminals.

structlog imports rich wherever it is installed, to draw tracebacks: 6 MB and a tenth of a second for each
service, which writes plain ones. The command line has rich, and is a process of its own.
"""

from __future__ import annotations

import sys
from typing import cast

# As Python says it: None means that there is no such module, and whoever asks hears ImportError.
cast("dict[str, object]", sys.modules).setdefault("rich", None)
