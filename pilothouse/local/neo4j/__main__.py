"""The process that becomes the server (`pilothouse.local.neo4j.server` says how)."""

import sys
from pathlib import Path

from pilothouse.local.neo4j.server import become_server

become_server(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
