"""Messages as lines: a dataclass of ``contract.worker`` to one line of JSON and back, strictly.

    line = to_line(CancelRequest("job-1"))
    message = from_line(line)

Strict means: unknown and absent keys, wrong types, numbers that are not finite, duplicate keys are refused with the
place where they stand. Both directions are checked, so that a mistake is found by who makes it. Standard library only.
"""

from __future__ import annotations

import functools
import json
import math
import types
import typing
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union

from samprompt.contract.errors import SamPromptError
from samprompt.contract.worker import (
    CancelRequest,
    Failure,
    Hello,
    JobRequest,
    ProgressMessage,
    QuitRequest,
    Released,
    ReleaseRequest,
    Result,
    VisitReady,
)

Message = (
    JobRequest
    | CancelRequest
    | ReleaseRequest
    | QuitRequest
    | Hello
    | ProgressMessage
    | VisitReady
    | Result
    | Failure
    | Released
)
MESSAGES: dict[str, type] = {
    "job": JobRequest,
    "cancel": CancelRequest,
    "release": ReleaseRequest,
    "quit": QuitRequest,
    "hello": Hello,
    "progress": ProgressMessage,
    "visit": VisitReady,
    "result": Result,
    "error": Failure,
    "released": Released,
}
LONGEST_LINE = 64 << 20  # characters; arrays travel as files, so a longer line is a fault
_DEEPEST = 40

T = TypeVar("T")


class WireError(SamPromptError):
    """A line is no message, or a message cannot be a line; ``message`` names the place, as ``job.model``."""

    code = "protocol"


def to_line(message: Message) -> str:
    """The message as one line of ASCII JSON, its line feed included.

    Letters beyond ASCII are escaped: no code page on the way can spoil them, and undecodable file names survive.

    Raises:
        WireError: it is none of ``MESSAGES``, or a field holds something that its type does not allow.
    """
    if MESSAGES.get(getattr(message, "type", "")) is not type(message):
        raise WireError(f"{type(message).__name__} is not a message.")
    return json.dumps(to_data(message), allow_nan=False, separators=(",", ":")) + "\n"


def from_line(line: str | bytes) -> Message:
    """The message in a line; a trailing line feed is ignored.

    Raises:
        WireError: it is not a JSON object, of no known type, or a field does not fit.
    """
    if len(line) > LONGEST_LINE:
        raise WireError(f"A line of {len(line)} characters is longer than any message.")
    try:
        text = line.decode("utf-8") if isinstance(line, bytes) else line
        data = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise WireError(f"The line is not JSON ({error}): {_shown(line)}") from None
    if not isinstance(data, dict):
        raise WireError(f"The line is not a message: {_shown(line)}")
    kind = data.get("type")
    if not isinstance(kind, str) or kind not in MESSAGES:
        raise WireError(f"The line is of no known type: {_shown(line)}")
    return typing.cast(Message, from_data(MESSAGES[kind], data))


def to_data(message: Any) -> dict[str, Any]:
    """A dataclass (a message, a job, parameters) as JSON-ready dictionaries and lists.

    Raises:
        WireError: a field holds something that its type does not allow.
    """
    data = _plain(message, type(message).__name__, 0)
    if not is_dataclass(message) or not isinstance(data, dict):
        raise WireError(f"{type(message).__name__} is not a message.")
    from_data(type(message), data)
    return data


def from_data(kind: type[T], data: Any) -> T:
    """The dataclass ``kind`` made of what ``to_data`` gave; fields with a default may be absent.

    Raises:
        WireError: something is unknown, absent or of the wrong type.
    """
    made: T = _built(kind, data, "")
    return made


def _plain(value: Any, where: str, depth: int) -> Any:
    """``value`` without dataclasses and tuples."""
    if depth > _DEEPEST:
        raise WireError(f"{where} is nested too deeply.")
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name), f"{where}.{f.name}", depth + 1) for f in fields(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{n}]", depth + 1) for n, item in enumerate(value)]
    if isinstance(value, dict):
        return {_key(key, where): _plain(item, f"{where}.{key}", depth + 1) for key, item in value.items()}
    _check_plain(value, where)
    return value


def _check_plain(value: Any, where: str) -> None:
    """Refuse what JSON cannot say: other classes (numpy's numbers among them), NaN and infinity."""
    if isinstance(value, float) and type(value) is float and not math.isfinite(value):
        raise WireError(f"{where} is {value}, not a finite number.")
    if value is not None and type(value) not in (str, bool, int, float):
        raise WireError(f"{where} is of type {type(value).__name__}, which no message carries.")


def _key(key: Any, where: str) -> str:
    if type(key) is not str:
        raise WireError(f"{where} has the key {key!r}, which is not a text.")
    return key


@functools.cache
def _types(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _built(kind: Any, data: Any, where: str) -> Any:
    """``data`` as the type ``kind``; ``where`` names the place for errors."""
    if kind is Any:
        return _any(data, where, 0)
    if is_dataclass(kind) and isinstance(kind, type):
        return _dataclass(kind, data, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        if not any(type(data) is type(choice) and data == choice for choice in arguments):
            raise WireError(f"{where} is {_shown(data)}, not one of {', '.join(map(str, arguments))}.")
        return data
    if origin in (Union, types.UnionType):
        return _union(arguments, data, where)
    if origin is tuple:
        return _tuple(arguments, data, where)
    if origin is dict:
        if not isinstance(data, dict):
            raise _wrong(where, data, "an object")
        return {key: _built(arguments[1], item, _join(where, key)) for key, item in data.items()}
    return _scalar(kind, data, where)


def _scalar(kind: Any, data: Any, where: str) -> Any:
    """A text, truth value, whole number, number or null; a whole number also serves as a number."""
    if kind is float and type(data) in (int, float):
        try:
            number = float(data)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise WireError(f"{where} is not a finite number.")
        return number
    if kind in (str, bool, int, types.NoneType) and type(data) is kind:
        return data
    words = {str: "a text", bool: "true or false", int: "a whole number", float: "a number", types.NoneType: "null"}
    raise _wrong(where, data, words.get(kind, str(kind)))


def _dataclass(kind: type, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise _wrong(where or kind.__name__, data, "an object")
    known = {f.name: f for f in fields(kind)}
    unknown = [key for key in data if key not in known]
    if unknown:
        raise WireError(f"{kind.__name__} has no {_shown(_join(where, unknown[0]))}.")
    hints = _types(kind)
    values = {name: _built(hints[name], value, _join(where, name)) for name, value in data.items()}
    absent = [
        f.name for f in known.values() if f.name not in data and f.default is MISSING and f.default_factory is MISSING
    ]
    if absent:
        raise WireError(f"{kind.__name__} lacks {_join(where, absent[0])!r}.")
    return kind(**values)


def _union(choices: tuple[Any, ...], data: Any, where: str) -> Any:
    """The first alternative that fits; the message is the last one's, which is the type beside None."""
    last: WireError | None = None
    for choice in sorted(choices, key=lambda c: c is not types.NoneType):
        try:
            return _built(choice, data, where)
        except WireError as error:
            last = error
    raise last or _wrong(where, data, "a value")


def _tuple(arguments: tuple[Any, ...], data: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(data, (list, tuple)):
        raise _wrong(where, data, "a list")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_built(arguments[0], item, f"{where}[{n}]") for n, item in enumerate(data))
    if len(data) != len(arguments):
        raise WireError(f"{where} has {len(data)} entries, not {len(arguments)}.")
    return tuple(_built(a, item, f"{where}[{n}]") for n, (a, item) in enumerate(zip(arguments, data, strict=True)))


def _any(data: Any, where: str, depth: int) -> Any:
    """Anything JSON can say, checked for finite numbers."""
    if depth > _DEEPEST:
        raise WireError(f"{where} is nested too deeply.")
    if isinstance(data, dict):
        return {key: _any(item, _join(where, key), depth + 1) for key, item in data.items()}
    if isinstance(data, list):
        return [_any(item, f"{where}[{n}]", depth + 1) for n, item in enumerate(data)]
    _check_plain(data, where)
    return data


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError("a key stands twice in an object")
    return data


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a finite number")


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _wrong(where: str, data: Any, wanted: str) -> WireError:
    return WireError(f"{where} is {_shown(data)}, not {wanted}.")


def _shown(value: Any) -> str:
    """A value as it may stand in a message: short, on one line."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    text = text if isinstance(text, str) else repr(text)
    text = " ".join(text.split())
    return repr(text if len(text) <= 80 else text[:77] + "...")
