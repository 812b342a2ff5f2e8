"""`python -m assignment PART`: parses the command line before anything heavy is imported."""

import sys

from assignment.command_line import main

sys.exit(main())
