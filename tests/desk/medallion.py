"""OASIS's own TAXII 2.1 server (medallion on PyPI) on a free port of loopback. First line of standard output: the port.

Usage: medallion.py CONFIG.json, as medallion's documentation has it.
"""

import json
import os
import sys

# Beside this file lies itself: the package is meant.
sys.path = [p for p in sys.path if os.path.abspath(p or ".") != os.path.dirname(os.path.abspath(__file__))]

from medallion import application_instance, register_blueprints, set_config  # noqa: E402
from werkzeug.serving import make_server  # noqa: E402

with open(sys.argv[1], encoding="utf-8") as file:
    config = json.load(file)
for part in ("users", "taxii", "backend"):
    set_config(application_instance, part, config)
register_blueprints(application_instance)
server = make_server("127.0.0.1", 0, application_instance, threaded=True)
print(server.port, flush=True)
server.serve_forever()
