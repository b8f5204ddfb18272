"""Refuses empty required fields (AIP-203), enum values that the contract does not know, and lists without end.

What to look at is compiled once a message type, from the descriptors: `google.api.field_behavior`, the enums and the
repeated fields. A type without any, at any depth, costs nothing. Lists come first: what is done an entry, here and
behind, would hold the event loop for the millions that fit into a message. Numbers of a vector are not counted, nor
are codes of vectors, which are `fixed64`.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from memos_kernel import limits
from memos_kernel.errors import InvalidField, LimitExceeded, MissingField
from memos_runtime.context import Call
from memos_runtime.interceptors.base import Proceed
from memos_wire.methods import Method

_NUMBERS = (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE)


class RequiredFields:
    """Checks requests before anything is done with them."""

    def wrap(self, _: Method, proceed: Proceed) -> Proceed:
        """See `Interceptor`."""
        plan: Plan | None = None

        async def checked(call: Call) -> Any:
            nonlocal plan
            if plan is None:
                plan = plan_of(type(call.request))
            plan.check(call.request)
            if call.requests is not None:
                call.requests = _each(plan, call.requests)
            return await proceed(call)

        return checked


async def _each(plan: "Plan", requests: AsyncIterator[Message]) -> AsyncIterator[Message]:
    async for request in requests:
        plan.check(request)
        yield request


@dataclass(slots=True)
class Plan:
    """What to look at in messages of one type."""

    lists: list[str] = field(default_factory=list)
    required: list[tuple[str, Callable[[Any], bool]]] = field(default_factory=list)
    enums: list[tuple[str, bool, Mapping[int, object]]] = field(default_factory=list)
    nested: list[tuple[str, bool, "Plan"]] = field(default_factory=list)

    def check(self, message: Message, path: str = "") -> None:
        """Refuse the message, whose fields are named below `path`.

        Raises:
            LimitExceeded, MissingField, InvalidField: with the full path of the field.
        """
        for name in self.lists:
            if (length := len(getattr(message, name))) > limits.LIST_ITEMS:
                raise _too_many(path + name, length)
        for name, present in self.required:
            if not present(message):
                raise MissingField(f"{path}{name} is required.", field=path + name)
        for name, repeated, known in self.enums:
            value = getattr(message, name)
            if repeated:
                for index, item in enumerate(value):
                    if item not in known:
                        raise _unknown(f"{path}{name}[{index}]", item, known)
            elif value and value not in known:
                raise _unknown(path + name, value, known)
        for name, repeated, plan in self.nested:
            if repeated:
                for index, item in enumerate(getattr(message, name)):
                    plan.check(item, f"{path}{name}[{index}].")
            elif message.HasField(name):
                plan.check(getattr(message, name), f"{path}{name}.")


def plan_of(message_class: type[Message]) -> Plan:
    """Return what to look at in messages of a type."""
    return _collect(cast(Descriptor, message_class.DESCRIPTOR), {})


def _collect(descriptor: Descriptor, plans: dict[str, Plan]) -> Plan:
    """Return the plan of a type, made with those of the types in it; a type that holds itself finds its own."""
    if descriptor.full_name in plans:
        return plans[descriptor.full_name]
    plan = plans[descriptor.full_name] = Plan()
    for item in descriptor.fields:
        if item.is_repeated and item.cpp_type not in _NUMBERS and item.type != FieldDescriptor.TYPE_FIXED64:
            plan.lists.append(item.name)
        if field_behavior_pb2.REQUIRED in item.GetOptions().Extensions[field_behavior_pb2.field_behavior]:
            plan.required.append((item.name, _presence(item)))
        if item.enum_type is not None:
            plan.enums.append((item.name, item.is_repeated, _numbers(item.enum_type)))
        elif item.message_type is not None and not item.message_type.GetOptions().map_entry:
            inner = _collect(item.message_type, plans)
            if inner.lists or inner.required or inner.enums or inner.nested or inner is plan:
                plan.nested.append((item.name, item.is_repeated, inner))
    return plan


def _presence(item: FieldDescriptor) -> Callable[[Any], bool]:
    name = item.name
    if item.has_presence:
        return lambda message: bool(message.HasField(name))
    return lambda message: bool(getattr(message, name))


def _numbers(enum: EnumDescriptor) -> Mapping[int, object]:
    return {number: value.name for number, value in enum.values_by_number.items()}


def _too_many(path: str, length: int) -> LimitExceeded:
    most = limits.LIST_ITEMS
    return LimitExceeded(
        f"{path} has {length} entries; no list has more than {most}.", field=path, limit=str(most), unit="entries"
    )


def _unknown(path: str, value: int, known: Mapping[int, object]) -> InvalidField:
    listed = ", ".join(f"{number} ({name})" for number, name in known.items() if number)
    return InvalidField(f"{path} is {value}; known values are {listed}.", field=path)
