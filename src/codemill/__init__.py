"""codemill turns raw code into training data for code models."""

import os
import sys

__version__ = "0.1.0"

# Arrow decides when it is first used, for a process and those that it starts. Its own choice, mimalloc, keeps what each
# of its threads ever held, several times what is in use where tables are read part by part; what the C library of Linux
# keeps can be handed back, see `engine.give_back`.
if sys.platform == "linux":
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
