"""``python -m frontdoor``: the same as the command ``frontdoor``."""

import sys

from frontdoor.cli.main import main

sys.exit(main())
