"""What every plugin in Python wants: calls with their JSON read, and exceptions that become failures.

An exception that leaves an export is a trap to the host, which then knows neither what went wrong nor where.
"""

import functools
import json
import traceback
from dataclasses import dataclass
from typing import Any, Optional

from componentize_py_types import Err
from wit_world.imports.types import Call, Failure, FailureKind


@dataclass
class Arguments:
    """A call with its JSON read."""

    name: str
    config: dict[str, Any]
    options: dict[str, Any]
    facts: dict[str, Any]


def failure(
    kind: FailureKind, code: str, message: str, retry_after_ms: Optional[int] = None, **details: Any
) -> Err[Failure]:
    """A failure to raise."""
    return Err(Failure(kind, code, message, retry_after_ms, json.dumps(details)))


def guard(act):
    """An export: its call is `Arguments`, and what it raises becomes a failure, permanent and with its stack unless it is one already."""

    @functools.wraps(act)
    def guarded(self, call: Call, *rest):
        try:
            texts = (call.config, call.options, call.facts)
            return act(self, Arguments(call.name, *map(json.loads, texts)), *rest)
        except Err:
            raise
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            raise failure(
                FailureKind.PERMANENT, "exception", message, stack=traceback.format_exc()
            ) from error

    return guarded
