"""Keep secrets out of what a process says by itself: logs, warnings, uncaught exceptions."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
import warnings
from types import TracebackType
from typing import Any

from neurodata.shown import shown

_MARK = "neurodata_guarded"


class Scrubbing(logging.Filter):
    """A filter that lets every record through, without secrets and control characters."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Clean a record."""
        clean(record)
        return True


def clean(record: logging.LogRecord) -> logging.LogRecord:
    """Take secrets and control characters out of a record: message, exception, stack."""
    try:
        text, whole = record.getMessage(), True
    except Exception:  # the message does not fit its values; logging would print both as they are
        text, whole = f"{record.msg!r} with {record.args!r}", False
    if (plain := shown(text)) != text or not whole:
        record.msg, record.args = plain, ()
    if record.exc_info and record.exc_info[0] is not None:
        text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        if (plain := shown(text)) != text:
            record.exc_info, record.exc_text = None, plain
    elif record.exc_text:
        record.exc_text = shown(record.exc_text)
    if record.stack_info:
        record.stack_info = shown(record.stack_info)
    return record


def guard_logs() -> None:
    """Clean every log record of this process where it is made, whichever handler gets it."""
    before = logging.getLogRecordFactory()
    if hasattr(before, _MARK):
        return

    def made(*args: Any, **kwargs: Any) -> logging.LogRecord:
        return clean(before(*args, **kwargs))

    setattr(made, _MARK, True)
    logging.setLogRecordFactory(made)


def guard_process() -> None:
    """Clean logs, warnings and uncaught exceptions; for processes that are ours alone."""
    guard_logs()
    sys.excepthook = _uncaught
    threading.excepthook = _of_a_thread
    sys.unraisablehook = _unraisable
    if not hasattr(warnings.formatwarning, _MARK):
        before = warnings.formatwarning

        def told(*args: Any, **kwargs: Any) -> str:
            return shown(before(*args, **kwargs))

        setattr(told, _MARK, True)
        warnings.formatwarning = told


def tell(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None,
         before: str = "") -> None:  # fmt: skip
    """Write an exception to standard error as Python does, without secrets."""
    if sys.stderr is not None:
        text = "".join(traceback.format_exception(kind, error, trace))
        sys.stderr.write(shown(before + text))


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    tell(kind, error, trace)


def _of_a_thread(given: threading.ExceptHookArgs) -> None:
    if given.exc_type is not SystemExit:
        name = given.thread.name if given.thread is not None else "unknown"
        tell(given.exc_type, given.exc_value, given.exc_traceback, f"Exception in thread {name}:\n")


def _unraisable(given: Any) -> None:
    before = f"{given.err_msg or 'Exception ignored in'}: {given.object!r}\n"
    tell(given.exc_type, given.exc_value, given.exc_traceback, before)
