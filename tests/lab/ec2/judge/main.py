"""Runs all checks against the double on the given port."""

import sys

import lib

lib.port = int(sys.argv[1])

import identity  # noqa: E402, F401  (the order of the imports is the order of the checks)
import network  # noqa: E402, F401
import groups  # noqa: E402, F401
import compute  # noqa: E402, F401
import balancers  # noqa: E402, F401
import trouble  # noqa: E402, F401
import destroy  # noqa: E402, F401
import cli  # noqa: E402, F401

sys.exit(1 if lib.run() else 0)
