"""ModelInfer: tensors in typed contents or raw bytes, answered the way they came."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from millrace.serving import binary
from millrace.serving.calls import Answer, Call, Signature
from millrace.serving.errors import BadRequest, Unanswered
from millrace.serving.grpc import framing
from millrace.serving.grpc.schema import MESSAGES
from millrace.serving.http import Request, Response
from millrace.serving.tensors import InputReader

#: Field of typed contents for each datatype; 16-bit floats have none.
CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


class Infer:
    """One ModelInferRequest to one model version."""

    def __init__(self, message: Any, signature: Signature) -> None:
        self._message = message
        self._signature = signature

    def read(self, _: Request) -> Call:
        """Raises `Unanswered`."""
        message, signature = self._message, self._signature
        raw = message.raw_input_contents
        if raw and len(raw) != len(message.inputs):
            raise BadRequest(f"there are {len(raw)} raw contents for {len(message.inputs)} inputs")
        given: list[tuple[str, NDArray[Any]]] = []
        for place, each in enumerate(message.inputs):
            reader = signature.input(each.name)
            shape = reader.check(each.datatype, list(each.shape), signature.max_rows)
            if raw:
                if each.HasField("contents"):
                    raise reader.bad("has contents beside raw contents, send one of them")
                given.append((each.name, binary.read(reader, memoryview(raw[place]), shape)))
            else:
                given.append((each.name, _typed(reader, each.contents, shape)))
        outputs = signature.wanted([output.name for output in message.outputs])
        return signature.call(given, outputs, bool(raw))

    def write(self, call: Call, answer: Answer) -> Response:
        """Raw bytes when the request had some, or an output has no typed contents."""
        message = self._message
        response = MESSAGES["ModelInferResponse"](
            model_name=answer.model, model_version=answer.version, id=message.id
        )
        datatypes = {name: self._signature.outputs[name].datatype for name in answer.outputs}
        raw = call.request or any(datatype not in CONTENTS for datatype in datatypes.values())
        for name, array in answer.outputs.items():
            output = response.outputs.add(name=name, datatype=datatypes[name], shape=array.shape)
            if raw:
                response.raw_output_contents.append(binary.write(array))
                continue
            values: list[Any] = array.ravel().tolist()
            if array.dtype.kind == "O":
                values = [str(value).encode() for value in values]
            getattr(output.contents, CONTENTS[datatypes[name]]).extend(values)
        for name, value in message.parameters.items():
            response.parameters[name].CopyFrom(value)
        if not answer.fallback:
            return framing.answer(response)
        response.parameters["fallback"].string_param = answer.fallback
        response.parameters["fallback_reason"].string_param = answer.reason
        return framing.answer(response, (b"millrace-fallback", answer.fallback.encode()))

    def refuse(self, wrong: Unanswered) -> Response:
        """The status for it."""
        return framing.refuse(wrong)


def _typed(reader: InputReader, contents: Any, shape: list[int]) -> NDArray[Any]:
    field = CONTENTS.get(reader.datatype)
    if field is None:
        raise reader.bad(f"is {reader.datatype}, which only raw contents can carry")
    values = list(getattr(contents, field))
    if reader.datatype == "BYTES":
        return reader.of_texts(values, shape)
    if reader.kind is float and len(values) > 64:
        # What came as floating-point numbers of this size needs no second look.
        if len(values) != int(np.prod(shape)):
            raise reader.bad(f"has {len(values)} values, its shape {shape} needs {int(np.prod(shape))}")
        return np.array(values, reader.dtype).reshape(shape)
    return reader.of_values(values, shape)
