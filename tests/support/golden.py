"""Messages as the clients of a release write and read them, kept so that later releases go on understanding them.

python tests/support/golden.py     write those of the contract as it is, under the version of pyproject.toml
"""

import base64
import importlib
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import any_pb2, descriptor_pool, duration_pb2, field_mask_pb2, json_format, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "protos" / "golden"
PACKAGE = "memos_api/v1"
_DEPTH = 4
_ANY = any_pb2.Any()
_ANY.Pack(duration_pb2.Duration(seconds=1))
_KNOWN = {"google.protobuf.Any": _ANY, "google.protobuf.FieldMask": field_mask_pb2.FieldMask(paths=["labels"])}
"""Messages whose content has a form of its own."""


def written() -> dict[str, dict[str, object]]:
    """Return an example of each public message: its bytes, and what they say."""
    found = {}
    for descriptor in public_messages():
        for number, example in enumerate(examples(descriptor)):
            found[f"{descriptor.full_name}#{number}"] = {
                "wire": base64.b64encode(example.SerializeToString(deterministic=True)).decode(),
                "says": json_format.MessageToDict(example, preserving_proto_field_name=True),
            }
    return found


def public_messages() -> Iterator[Descriptor]:
    """Return the messages of the public contract, not those inside of others."""
    for path in sorted((ROOT / "protos" / PACKAGE).glob("*.proto")):
        importlib.import_module(f"memos_api.v1.{path.stem}_pb2")
        file = descriptor_pool.Default().FindFileByName(f"{PACKAGE}/{path.name}")
        for name in sorted(file.message_types_by_name):
            yield file.message_types_by_name[name]


def examples(descriptor: Descriptor) -> Iterator[Message]:
    """Return a message with every field filled; one more for each further member of its unions."""
    unions = [union for union in descriptor.oneofs if len(union.fields) > 1]
    for turn in range(max([len(union.fields) for union in unions], default=1)):
        yield _filled(descriptor, turn, depth=_DEPTH)


def _filled(descriptor: Descriptor, turn: int, *, depth: int) -> Message:
    if descriptor.full_name in _KNOWN:
        return _KNOWN[descriptor.full_name]
    made = message_factory.GetMessageClass(descriptor)()
    for field in descriptor.fields:
        union = field.containing_oneof
        if union is not None and union.fields[turn % len(union.fields)] is not field:
            continue
        if field.message_type is not None and depth == 0:
            continue
        _fill(made, field, turn, depth)
    return made


def _fill(made: Message, field: FieldDescriptor, turn: int, depth: int) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        value = field.message_type.fields_by_name["value"]
        if value.message_type is not None:
            getattr(made, field.name)["key"].CopyFrom(_filled(value.message_type, turn, depth=depth - 1))
        else:
            getattr(made, field.name)["key"] = _scalar(value)
    elif field.message_type is not None:
        content = _filled(field.message_type, turn, depth=depth - 1)
        if field.is_repeated:
            getattr(made, field.name).add().CopyFrom(content)
        else:
            getattr(made, field.name).CopyFrom(content)
    elif field.is_repeated:
        getattr(made, field.name).append(_scalar(field))
    else:
        setattr(made, field.name, _scalar(field))


def _scalar(field: FieldDescriptor) -> object:
    kinds = FieldDescriptor
    match field.cpp_type:
        case kinds.CPPTYPE_STRING:
            return field.name.encode() if field.type == kinds.TYPE_BYTES else f"ä {field.name}"
        case kinds.CPPTYPE_BOOL:
            return True
        case kinds.CPPTYPE_ENUM:
            return field.enum_type.values[-1].number
        case kinds.CPPTYPE_DOUBLE | kinds.CPPTYPE_FLOAT:
            return field.number + 0.5
    return field.number


if __name__ == "__main__":
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    text = json.dumps(written(), ensure_ascii=False, indent=1, sort_keys=True)
    (FOLDER / f"{version}.json").write_text(text + "\n", encoding="utf-8")
