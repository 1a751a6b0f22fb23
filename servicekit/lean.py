"""Imported first by a service's `__main__`: keeps out of its process and log what libraries bring that it has
no use for.

structlog imports rich wherever it is installed, to draw tracebacks: 6 MB and a tenth of a second for each
service, which writes plain ones. The command line has rich, and is a process of its own.

uvloop starts programs with fork(2). With grpc's fork handlers the child, before it becomes the program, goes
on with the service's connections in threads of its own, and what it says there breaks them (grpcio 1.85,
which looks for the variable when it is imported). It also writes lines of its own for servers that go,
between those of the log.
"""

from __future__ import annotations

import os
import sys
from typing import cast

# As Python says it: None means that there is no such module, and whoever asks hears ImportError.
cast("dict[str, object]", sys.modules).setdefault("rich", None)
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
