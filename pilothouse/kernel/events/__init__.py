"""The event log: what happened, appended once, read in order by everybody who must act on it."""

from pilothouse.kernel.events.appender import Appender, AsyncAppender
from pilothouse.kernel.events.consumer import Consumer
from pilothouse.kernel.events.event import Event
from pilothouse.kernel.events.log import EventLog

__all__ = ["Appender", "AsyncAppender", "Consumer", "Event", "EventLog"]
