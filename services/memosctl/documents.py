"""Messages of the contract as JSON: the names of the proto, every field present, so that programs can rely on them."""

from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message


def document(message: Message) -> dict[str, Any]:
    """Return the message as JSON value (ProtoJSON with proto field names; 64-bit integers are strings)."""
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
