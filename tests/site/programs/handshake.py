"""Connects with TLS but without a certificate, says nothing, and prints how it was received, as JSON."""

import json
import socket
import ssl
import sys

question = json.loads(sys.argv[1])
context = ssl.create_default_context(cafile=question["ca"])
try:
    with (
        socket.create_connection((question["name"], question["port"]), timeout=5) as connection,
        context.wrap_socket(connection, server_hostname=question["name"]) as stream,
    ):
        # With TLS 1.3 the refusal comes after the client's side of the handshake.
        stream.recv(1)
        print(json.dumps("closed"))
except TimeoutError:
    print(json.dumps("let in"))
except OSError as error:
    print(json.dumps(str(error)))
