"""`python -m compute`."""

from compute.cli import main

raise SystemExit(main())
