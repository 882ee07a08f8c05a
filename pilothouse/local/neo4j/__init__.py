"""Real Neo4j as the graph of one machine, for whoever chooses it: jars fetched by Maven, a server started and watched by us.

Community Edition is GPLv3: it is fetched to the user's own cache and used there, and never becomes a part of what we ship.
"""

from pilothouse.local.neo4j.server import neo4j

__all__ = ["neo4j"]
