"""V2 over gRPC. The gateway speaks HTTP/2 to clients; here a unary call is a POST whose answer has trailers.

`schema` has the messages, `framing` what gRPC puts around them, `service` the methods, `infer` predictions.
"""

from millrace.serving.grpc.service import PREFIX, Service

__all__ = ["PREFIX", "Service"]
