"""V1, as TensorFlow Serving and KServe have it: `instances` by row, or `inputs` by column.

Also rows as MLflow's clients send them: `dataframe_records`, `dataframe_split`.
"""

import base64
import binascii
import math
from collections.abc import Callable
from typing import Any

import msgspec

from millrace.serving.calls import Answer, Call, Signature
from millrace.serving.encodings import pack, unpack
from millrace.serving.errors import BadRequest, Unanswered, brief
from millrace.serving.http import Request, Response
from millrace.serving.tensors import InputReader
from millrace.serving.v2 import encode, refuse

_decode_any = msgspec.json.Decoder().decode
_FORMS = ("instances", "inputs", "dataframe_records", "dataframe_split")


class V1:
    """Requests to one model version, and answers of it."""

    def __init__(self, signature: Signature, max_body: int) -> None:
        """`max_body`: bytes that a body may have once it is unpacked."""
        self._signature = signature
        self._max_body = max_body
        self._readers = list(signature.inputs.values())
        self._decode: Callable[[bytes], Any] | None = None
        if all(len(reader.shape) <= 2 for reader in self._readers):
            self._decode = rows_decoder(self._readers)

    def read(self, request: Request) -> Call:
        """The call that a request makes; raises `Unanswered`."""
        body = unpack(request, self._max_body)
        if self._decode:
            try:
                asked = self._decode(body)
                others = asked.inputs or asked.dataframe_records or asked.dataframe_split
                rows = [] if others else asked.instances
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                rows = []
            if rows:
                self._limit(len(rows))
                return self._call(self._columns(rows), len(rows), request, by_row=True)
        given = _decode(body)
        forms = [form for form in _FORMS if form in given]
        if len(forms) != 1:
            raise BadRequest(
                'the request is not of the V1 protocol: send {"instances": [...]}, a list of rows, '
                'or {"inputs": ...}, a list for each column'
            )
        (form,) = forms
        content = given[form]
        if form == "inputs":
            columns, count = self._by_column(content)
        else:
            columns, count = self._by_row(_split(content) if form == "dataframe_split" else content, form)
        return self._call(columns, count, request, by_row=form != "inputs")

    def write(self, call: Call, answer: Answer) -> Response:
        """`predictions` for `instances`, `outputs` for `inputs`; a model's only output without its name."""
        request, by_row = call.request
        columns = {name: array.tolist() for name, array in answer.outputs.items()}
        content: dict[str, Any]
        if len(columns) == 1:
            values = next(iter(columns.values()))
        elif by_row:
            names = list(columns)
            values = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        else:
            values = columns
        content = {"predictions" if by_row else "outputs": values}
        headers: list[tuple[bytes, bytes]] = []
        if answer.fallback:
            content["parameters"] = {"fallback": answer.fallback, "fallback_reason": answer.reason}
            headers.append((b"millrace-fallback", answer.fallback.encode()))
        response = Response(encode(content), headers=headers)
        return pack(request, response) if b"accept-encoding" in request.headers else response

    def refuse(self, wrong: Unanswered) -> Response:
        """`{"error": ...}`."""
        return refuse(wrong)

    def _call(self, columns: list[list[Any]], rows: int, request: Request, *, by_row: bool) -> Call:
        inputs = {
            reader.name: reader.of_values(values, [rows, *reader.shape[1:]])
            for reader, values in zip(self._readers, columns, strict=True)
        }
        return Call(inputs, self._signature.output_names, rows, (request, by_row))

    def _limit(self, rows: int) -> None:
        if rows > self._signature.max_rows:
            raise BadRequest(f"there are {rows} rows, a request may have {self._signature.max_rows}")

    def _columns(self, rows: list[Any]) -> list[list[Any]]:
        """Flat values of each column, from rows whose types are known to be right."""
        columns = []
        for place, reader in enumerate(self._readers):
            values = [getattr(row, f"f{place}") for row in rows]
            if reader.width > 1 or (values and isinstance(values[0], list)):
                for number, value in enumerate(values):
                    if len(value) != reader.width:
                        raise reader.bad(
                            f"has {len(value)} values in instance {number}, it takes {reader.width}"
                        )
                values = [each for value in values for each in value]
            columns.append(values)
        return columns

    def _by_row(self, rows: Any, form: str) -> tuple[list[list[Any]], int]:
        if not isinstance(rows, list) or not rows:
            raise BadRequest(f"{form} is not a list of at least one row")
        self._limit(len(rows))
        names = ", ".join(reader.name for reader in self._readers)
        columns: list[list[Any]] = [[] for _ in self._readers]
        single = len(self._readers) == 1
        for number, row in enumerate(rows):
            values: list[Any]
            if isinstance(row, dict) and not (single and set(row) == {"b64"}):
                for reader in self._readers:
                    if reader.name not in row:
                        raise BadRequest(f"instance {number} has no '{reader.name}', the model takes {names}")
                if len(row) != len(self._readers):
                    surplus = next(name for name in row if name not in self._signature.inputs)
                    raise BadRequest(f"instance {number} has '{brief(surplus)}', the model takes {names}")
                values = [row[reader.name] for reader in self._readers]
            elif single:
                values = [row]
            elif isinstance(row, list) and len(row) == len(self._readers):
                values = row
            else:
                raise BadRequest(
                    f"instance {number} is neither an object of {names} nor a list of {len(columns)} values"
                )
            for reader, column, value in zip(self._readers, columns, values, strict=True):
                column.extend(_flat(reader, value, number))
        return columns, len(rows)

    def _by_column(self, inputs: Any) -> tuple[list[list[Any]], int]:
        names = ", ".join(reader.name for reader in self._readers)
        if not isinstance(inputs, dict):
            if len(self._readers) != 1:
                raise BadRequest(f"inputs is no object, the model takes {names}")
            inputs = {self._readers[0].name: inputs}
        for name in inputs:
            self._signature.input(name)
        columns, rows = [], 0
        for reader in self._readers:
            values = inputs.get(reader.name)
            if not isinstance(values, list) or not values:
                raise reader.bad(f"is missing or not a list, the model takes {names}")
            if rows not in (0, len(values)):
                raise reader.bad(f"has {len(values)} rows, input '{self._readers[0].name}' has {rows}")
            rows = len(values)
            self._limit(rows)
            columns.append([v for number, value in enumerate(values) for v in _flat(reader, value, number)])
        return columns, rows


def _decode(body: bytes) -> dict[str, Any]:
    try:
        asked = _decode_any(body)
    except RecursionError:
        raise BadRequest("the request is nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeError) as wrong:
        raise BadRequest(f"the request is not JSON: {wrong}") from None
    if not isinstance(asked, dict):
        raise BadRequest("the request is not of the V1 protocol: it is no JSON object")
    return asked


def _split(given: Any) -> list[dict[str, Any]]:
    """Rows by column of `{"columns": names, "data": rows}`, as pandas writes it; raises `BadRequest`."""
    columns, rows = (given.get("columns"), given.get("data")) if isinstance(given, dict) else (None, None)
    if not isinstance(columns, list) or not isinstance(rows, list):
        raise BadRequest('dataframe_split is not as {"columns": [...], "data": [[...], ...]}')
    if not all(isinstance(name, str) for name in columns) or len(set(columns)) != len(columns):
        raise BadRequest("dataframe_split has columns that are not different names")
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(columns):
            raise BadRequest(f"row {number} of dataframe_split is not a list of {len(columns)} values")
    return [dict(zip(columns, row, strict=True)) for row in rows]


def rows_decoder(readers: list[InputReader], row: Any = None) -> Callable[[bytes], Any]:
    """Reads `instances` that are objects by column, of the right types; anything else is an error.

    `row` is another type that they are of; then a request has nothing else.
    """
    fields: list[tuple[str, Any]] = []
    for place, reader in enumerate(readers):
        kind: Any = reader.kind
        fields.append((f"f{place}", list[kind] if reader.width > 1 else kind))
    rename = {f"f{place}": reader.name for place, reader in enumerate(readers)}
    strict = row is not None
    row = row or msgspec.defstruct("Row", fields, rename=rename, forbid_unknown_fields=True)
    others = [(form, msgspec.Raw, msgspec.Raw()) for form in _FORMS if form != "instances"]
    wanted: list[Any] = [("instances", list[row]), *others]  # type: ignore[valid-type]
    asked = msgspec.defstruct("Asked", wanted, forbid_unknown_fields=strict)
    return msgspec.json.Decoder(asked).decode


def _flat(reader: InputReader, value: Any, number: int) -> list[Any]:
    """The values of one row of one column; raises `BadRequest`."""
    values = [value]
    for size in reader.shape[1:]:
        inner: list[Any] = []
        for each in values:
            if not isinstance(each, list):
                # A column of one value, or a row of values that is not nested.
                if len(values) == 1 and size == 1:
                    inner.append(each)
                    continue
                raise reader.bad(f"has a value in instance {number} that does not nest as {reader.shape}")
            if len(each) != size:
                # Flat, where the shape would nest.
                if len(values) == 1 and len(each) == reader.width:
                    return [_text(reader, v) for v in each]
                raise reader.bad(
                    f"has {len(each)} values in instance {number}, its shape {reader.shape} takes {size}"
                )
            inner += each
        values = inner
    if len(values) != math.prod(reader.shape[1:]):
        raise reader.bad(f"has {len(values)} values in instance {number}, it takes {reader.width}")
    return [_text(reader, each) for each in values]


def _text(reader: InputReader, value: Any) -> Any:
    """TensorFlow Serving's way to send bytes: {"b64": ...}."""
    if reader.kind is not str or not isinstance(value, dict) or set(value) != {"b64"}:
        return value
    try:
        return base64.b64decode(value["b64"], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, TypeError, ValueError) as error:
        raise reader.bad(f"holds a b64 that is not UTF-8 text in base64: {error}") from None
