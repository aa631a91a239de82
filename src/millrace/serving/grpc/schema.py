"""The protocol's messages, made at run time from what of them is on the wire: names, numbers, types.

They live in a pool of their own, so that a client's generated ones may be in the same process.
"""

from typing import Any

from google.protobuf import descriptor_pool, message_factory  # type: ignore[import-untyped]
from google.protobuf.descriptor_pb2 import (  # type: ignore[import-untyped]
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

PACKAGE = "inference"
_TENSOR = "name:1 string, datatype:2 string, shape:3 int64*, parameters:4 {InferParameter}"
_RESPONSE_TENSOR = f"{_TENSOR}, contents:5 InferTensorContents"
_CHOICE = "bool_param:1 bool?, int64_param:2 int64?, string_param:3 string?"
#: Fields as `name:number type`; * repeated, ? one of several, {} a map from strings.
SCHEMA = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "live:1 bool",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "ready:1 bool",
    "ModelReadyRequest": "name:1 string, version:2 string",
    "ModelReadyResponse": "ready:1 bool",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "name:1 string, version:2 string, extensions:3 string*",
    "ModelMetadataRequest": "name:1 string, version:2 string",
    "ModelMetadataResponse": (
        "name:1 string, versions:2 string*, platform:3 string, "
        "inputs:4 ModelMetadataResponse.TensorMetadata*, outputs:5 ModelMetadataResponse.TensorMetadata*"
    ),
    "ModelMetadataResponse.TensorMetadata": "name:1 string, datatype:2 string, shape:3 int64*",
    "InferParameter": f"{_CHOICE}, double_param:4 double?, uint64_param:5 uint64?",
    "InferTensorContents": (
        "bool_contents:1 bool*, int_contents:2 int32*, int64_contents:3 int64*, uint_contents:4 uint32*, "
        "uint64_contents:5 uint64*, fp32_contents:6 float*, fp64_contents:7 double*, bytes_contents:8 bytes*"
    ),
    "ModelInferRequest": (
        "model_name:1 string, model_version:2 string, id:3 string, parameters:4 {InferParameter}, "
        "inputs:5 ModelInferRequest.InferInputTensor*, "
        "outputs:6 ModelInferRequest.InferRequestedOutputTensor*, raw_input_contents:7 bytes*"
    ),
    "ModelInferRequest.InferInputTensor": _RESPONSE_TENSOR,
    "ModelInferRequest.InferRequestedOutputTensor": "name:1 string, parameters:2 {InferParameter}",
    "ModelInferResponse": (
        "model_name:1 string, model_version:2 string, id:3 string, parameters:4 {InferParameter}, "
        "outputs:5 ModelInferResponse.InferOutputTensor*, raw_output_contents:6 bytes*"
    ),
    "ModelInferResponse.InferOutputTensor": _RESPONSE_TENSOR,
    "RepositoryIndexRequest": "repository_name:1 string, ready:2 bool",
    "RepositoryIndexResponse": "models:1 RepositoryIndexResponse.ModelIndex*",
    "RepositoryIndexResponse.ModelIndex": "name:1 string, version:2 string, state:3 string, reason:4 string",
    "ModelRepositoryParameter": f"{_CHOICE}, bytes_param:4 bytes?",
    "RepositoryModelLoadRequest": (
        "repository_name:1 string, model_name:2 string, parameters:3 {ModelRepositoryParameter}"
    ),
    "RepositoryModelLoadResponse": "",
    "RepositoryModelUnloadRequest": (
        "repository_name:1 string, model_name:2 string, parameters:3 {ModelRepositoryParameter}"
    ),
    "RepositoryModelUnloadResponse": "",
    "ModelStatisticsRequest": "name:1 string, version:2 string",
    "ModelStatisticsResponse": "model_stats:1 ModelStatistics*",
    "ModelStatistics": (
        "name:1 string, version:2 string, last_inference:3 uint64, inference_count:4 uint64, "
        "execution_count:5 uint64, inference_stats:6 InferStatistics"
    ),
    "InferStatistics": (
        "success:1 StatisticDuration, fail:2 StatisticDuration, queue:3 StatisticDuration, "
        "compute_input:4 StatisticDuration, compute_infer:5 StatisticDuration, "
        "compute_output:6 StatisticDuration, cache_hit:7 StatisticDuration, cache_miss:8 StatisticDuration"
    ),
    "StatisticDuration": "count:1 uint64, ns:2 uint64",
}


def _field(message: DescriptorProto, text: str, full_name: str) -> None:
    head, kind = text.split(" ")
    name, number = head.split(":")
    field = message.field.add(name=name, number=int(number), label=FieldDescriptorProto.LABEL_OPTIONAL)
    if kind.startswith("{"):
        entry = message.nested_type.add(name=name.title().replace("_", "") + "Entry")
        entry.options.map_entry = True
        _field(entry, "key:1 string", "")
        _field(entry, f"value:2 {kind.strip('{}')}", "")
        field.label = FieldDescriptorProto.LABEL_REPEATED
        field.type = FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{full_name}.{entry.name}"
        return
    if kind.endswith("*"):
        field.label = FieldDescriptorProto.LABEL_REPEATED
    if kind.endswith("?"):
        if not message.oneof_decl:
            message.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0
    kind = kind.rstrip("*?")
    if kind in SCHEMA:
        field.type = FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{kind}"
    else:
        field.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="millrace/inference.proto", package=PACKAGE, syntax="proto3")
    made: dict[str, DescriptorProto] = {}
    for full_name, fields in SCHEMA.items():
        outer, _, name = full_name.rpartition(".")
        message = made[outer].nested_type.add(name=name) if outer else file.message_type.add(name=name)
        made[full_name] = message
        for field in filter(None, fields.split(", ")):
            _field(message, field, full_name)
    return file


_pool = descriptor_pool.DescriptorPool()
_pool.Add(_file())
#: Message classes by their name in the package.
MESSAGES: dict[str, Any] = {
    name: message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in SCHEMA
}
