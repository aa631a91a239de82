"""HTTP/1.1 on the event loop: httptools parses, `connection` keeps the order, `listener` the whole."""

from millrace.serving.http.limits import Limits
from millrace.serving.http.listener import Listener
from millrace.serving.http.messages import JSON, Request, Response, error

__all__ = ["JSON", "Limits", "Listener", "Request", "Response", "error"]
