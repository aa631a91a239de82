"""Open Inference Protocol V2 over HTTP: JSON, and the binary-tensor extension both ways."""

import re
from collections.abc import Callable, Set
from functools import cache
from typing import Any, Generic, TypeVar

import msgspec
from numpy.typing import NDArray

from millrace.serving import binary
from millrace.serving.calls import Answer, Call, Signature
from millrace.serving.encodings import pack, unpack
from millrace.serving.errors import BadRequest, Unanswered, brief
from millrace.serving.http import Request, Response, error

T = TypeVar("T")
_OCTETS = b"application/octet-stream"
JSON_SIZE = b"inference-header-content-length"
# Parameters that are about the transport; all others are echoed.
_OWN = {"binary_data_output"}
# Where msgspec says that something is wrong.
_NUMBER = re.compile(r"at `\$\.inputs\[(\d+)\]")
_NONE: frozenset[str] = frozenset()


class InferInput(msgspec.Struct, Generic[T]):
    name: str
    shape: list[int]
    datatype: str
    data: T | msgspec.UnsetType = msgspec.UNSET
    parameters: dict[str, Any] | None = None


class RequestedOutput(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(msgspec.Struct, Generic[T]):
    inputs: list[InferInput[T]]
    outputs: list[RequestedOutput] | None = None
    id: str | None = None
    # Raw: echoed as they came.
    parameters: dict[str, msgspec.Raw] | None = None


class InferOutput(msgspec.Struct, omit_defaults=True):
    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | None = None
    parameters: dict[str, int] | None = None


class InferResponse(msgspec.Struct, omit_defaults=True):
    model_name: str
    model_version: str
    outputs: list[InferOutput]
    id: str | None = None
    parameters: dict[str, Any] | None = None


class RawInput(msgspec.Struct):
    """An input whose data are read for themselves, so that what is wrong with them is told with its name."""

    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw = msgspec.Raw()
    parameters: dict[str, Any] | None = None


class RawRequest(msgspec.Struct):
    inputs: list[RawInput]
    outputs: list[RequestedOutput] | None = None
    id: str | None = None
    parameters: dict[str, msgspec.Raw] | None = None


encode = msgspec.json.Encoder().encode
_decode_any = msgspec.json.Decoder(RawRequest).decode


@cache
def _decoder(kinds: frozenset[type]) -> Callable[[bytes], InferRequest[list[Any]]]:
    """Reads a request whose data are flat lists of these kinds, at once; anything else is an error."""
    kind: Any = next(iter(kinds))
    for other in kinds:
        kind = kind | other
    return msgspec.json.Decoder(InferRequest[list[kind]]).decode


def decode_request(body: bytes) -> RawRequest:
    """The request in `body`, its data as they came; raises `BadRequest`."""
    try:
        return _decode_any(body)
    except RecursionError:
        raise BadRequest("the request is nested too deeply") from None
    except msgspec.ValidationError as wrong:
        raise BadRequest(f"the request is not of the V2 protocol: {_named(body, str(wrong))}") from None
    except (msgspec.DecodeError, UnicodeError) as wrong:
        raise BadRequest(f"the request is not JSON: {wrong}") from None


def _named(body: bytes, wrong: str) -> str:
    """What is wrong, with the name of the input beside its number, where it has one."""
    found = _NUMBER.search(wrong)
    try:
        name = msgspec.json.decode(body)["inputs"][int(found[1])]["name"] if found else None
    except (msgspec.MsgspecError, UnicodeError, RecursionError, LookupError, TypeError):
        name = None
    return f"input '{brief(name)}': {wrong}" if isinstance(name, str) else wrong


class V2:
    """Requests to one model version, and answers of it."""

    def __init__(self, signature: Signature, max_body: int) -> None:
        """`max_body`: bytes that a body may have once it is unpacked."""
        self._signature = signature
        self._max_body = max_body
        kinds = frozenset(reader.kind for reader in signature.inputs.values())
        self._decode = _decoder(kinds)

    def read(self, request: Request) -> Call:
        """The call that a request makes; raises `Unanswered`."""
        headers = request.headers
        body = unpack(request, self._max_body) if b"content-encoding" in headers else request.body
        blob = memoryview(b"")
        if JSON_SIZE in headers:
            body, blob = _split(body, headers[JSON_SIZE])
            if not body:
                return self._raw(blob, request)
        signature, max_rows = self._signature, self._signature.max_rows
        asked = self._asked(body)
        outputs = signature.output_names
        if asked.outputs:
            outputs = list(signature.wanted([output.name for output in asked.outputs]))
        as_bytes: Set[str] = _NONE
        if asked.outputs or asked.parameters:
            as_bytes = _binary_outputs(asked, outputs)
        said = (request, asked, as_bytes)
        given: list[tuple[str, NDArray[Any]]] = []
        for each in asked.inputs:
            reader, data = signature.input(each.name), each.data
            shape = reader.check(each.datatype, each.shape, max_rows)
            if isinstance(data, list):
                given.append((each.name, reader.of_values(data, shape)))
            elif isinstance(data, msgspec.Raw) and bytes(data):
                given.append((each.name, reader.of_json(data, each.shape, shape)))
            else:
                size = _binary_size(each)
                if size > len(blob):
                    raise reader.bad(f"has {size} bytes of binary data, {len(blob)} came")
                given.append((each.name, binary.read(reader, blob[:size], shape)))
                blob = blob[size:]
        if blob:
            raise BadRequest(f"{len(blob)} bytes of binary data belong to no input, see binary_data_size")
        return signature.call(given, outputs, said)

    def _asked(self, body: bytes) -> InferRequest[list[Any]] | RawRequest:
        """The request in a body, at once if it can be; raises `BadRequest`."""
        try:
            return self._decode(body)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return decode_request(body)

    def write(self, call: Call, answer: Answer) -> Response:
        """The answer to a call, each output as JSON or as bytes, as it was asked for."""
        request, asked, as_bytes = call.request
        outputs, blobs = [], []
        for name, array in answer.outputs.items():
            datatype = self._signature.outputs[name].datatype
            if name in as_bytes:
                blobs.append(binary.write(array))
                size = {"binary_data_size": len(blobs[-1])}
                outputs.append(InferOutput(name, datatype, list(array.shape), None, size))
            else:
                # A number that is not finite becomes null: JSON has no other word for it.
                outputs.append(InferOutput(name, datatype, list(array.shape), array.ravel().tolist()))
        parameters = asked.parameters
        if parameters and not _OWN.isdisjoint(parameters):
            parameters = {name: value for name, value in parameters.items() if name not in _OWN}
        headers: list[tuple[bytes, bytes]] = []
        if answer.fallback:
            parameters = (parameters or {}) | {"fallback": answer.fallback, "fallback_reason": answer.reason}
            headers.append((b"millrace-fallback", answer.fallback.encode()))
        body = encode(InferResponse(answer.model, answer.version, outputs, asked.id, parameters or None))
        response = Response(body, headers=headers)
        if blobs:
            headers.append((JSON_SIZE, b"%d" % len(body)))
            response = Response(b"".join((body, *blobs)), content_type=_OCTETS, headers=headers)
        return pack(request, response) if b"accept-encoding" in request.headers else response

    def refuse(self, wrong: Unanswered) -> Response:
        """`{"error": ...}`."""
        return refuse(wrong)

    def _raw(self, blob: memoryview, request: Request) -> Call:
        """A body without JSON: the bytes of a model's only input, in as many rows as they make."""
        readers = list(self._signature.inputs.values())
        if len(readers) != 1 or readers[0].datatype == "BYTES":
            raise BadRequest(
                "a body without a JSON part is for models with one numeric input, send a JSON part"
            )
        reader = readers[0]
        size = reader.width * reader.dtype.itemsize
        shape = reader.check(
            reader.datatype, [len(blob) // size, *reader.shape[1:]], self._signature.max_rows
        )
        outputs = self._signature.output_names
        asked = InferRequest[Any]([])
        return self._signature.call(
            [(reader.name, binary.read(reader, blob, shape))], outputs, (request, asked, set(outputs))
        )


def refuse(wrong: Unanswered) -> Response:
    """`{"error": ...}` with the status."""
    headers = [(b"retry-after", b"%d" % wrong.retry_after)] if wrong.retry_after else []
    if wrong.allow:
        headers.append((b"allow", wrong.allow.encode()))
    return error(wrong.status, str(wrong), *headers)


def _split(body: bytes, size: bytes) -> tuple[bytes, memoryview]:
    """The JSON part of a body and what follows it."""
    if not size.isdigit() or len(size) > 18 or int(size) > len(body):
        given = brief(size.decode("latin-1"))
        raise BadRequest(f"Inference-Header-Content-Length is {given}, the body has {len(body)} bytes")
    return body[: int(size)], memoryview(body)[int(size) :]


def _binary_size(given: InferInput[Any] | RawInput) -> int:
    size = (given.parameters or {}).get("binary_data_size")
    if size is None:
        raise BadRequest(f"input '{given.name}' has no data: send data, or binary_data_size and bytes")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise BadRequest(
            f"input '{given.name}' has binary_data_size {brief(repr(size))}, it is a whole number"
        )
    return size


def _binary_outputs(asked: InferRequest[Any] | RawRequest, names: list[str]) -> set[str]:
    """Names of the outputs that are wanted as bytes."""
    every = bytes((asked.parameters or {}).get("binary_data_output", b"")) == b"true"
    chosen = set(names) if every else set()
    for output in asked.outputs or ():
        if not output.parameters:
            continue
        if "classification" in output.parameters:
            raise BadRequest(f"output '{output.name}': the classification extension is not known here")
        binary_data = output.parameters.get("binary_data")
        if binary_data is True:
            chosen.add(output.name)
        elif binary_data is False:
            chosen.discard(output.name)
    return chosen
