"""What this product writes about itself: one structlog configuration, one JSON object a line.

To stderr always, and to a rotating file where there is a folder for it. Lines of libraries (uvicorn, Streamlit,
urllib3, Python's warnings) and exceptions nobody caught pass through the same processors. Field names are the ones
the observer writes and `collectors.logs` reads: timestamp, level, logger, event. What belongs to a whole piece of
work (run_id, session, user) is bound by `structlog.contextvars.bind_contextvars`; threads do not inherit it.
"""

import fcntl
import logging
import logging.handlers
import os
import re
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import numpy as np
import orjson
import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

ROTATE_BYTES = 20_000_000
KEEP_FILES = 5

_LONGEST_TEXT = 10_000  # a runaway value must not make a line nobody can read
_REPEAT_SECONDS = 60.0
_FIRST = ("timestamp", "level", "logger", "event")
_SECRET = re.compile(r"(^|[_-])(password|passwd|secret|token|authorization|cookie|api_?key)$", re.IGNORECASE)
_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")  # user:password@ in a URL

# Libraries that give their loggers handlers of their own, in another format.
_ADOPTED = frozenset({"streamlit", "uvicorn", "websockets"})
_ACCESS = "uvicorn.access"
_DROPPED = frozenset({"color_message"})  # uvicorn says everything twice, once for terminals
_QUIET = ("urllib3", "watchdog", "asyncio", "fsevents", _ACCESS, "websockets")

log = structlog.get_logger("dashboard.journal")


def configure(folder: Path | None, *, level: str = "info", name: str = "dashboard") -> Path | None:
    """Set structlog and the standard library's logging up for this process; a second call replaces the first.

    Args:
        folder: where the rotating file `<name>.jsonl` goes; made if missing. None: stderr alone.
        level: the least level written: debug, info, warning, error.
        name: the file's stem. When another process writes it already, ours is `<name>-<pid>.jsonl`: rotation by
            two processes loses lines.

    Returns:
        The file written to; None without a folder, or where it cannot be written (said in a line on stderr).
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _add_trace,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # loggers made at import must follow a later configure
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _discreet, _render],
    )
    handlers: list[logging.Handler] = [_ToStderr()]
    refused: OSError | None = None
    try:
        if folder is not None:
            handlers.append(_ToFile(_own_file(folder, name)))
    except OSError as why:
        refused = why
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _ToStderr | _ToFile)]:
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        handler.setFormatter(formatter)
        handler.setLevel(level.upper())  # some libraries' loggers have a level of their own
        root.addHandler(handler)
    root.setLevel(level.upper())
    _adopt_libraries()
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    if refused is not None:
        log.error(
            "No log file", folder=str(folder), error_type=type(refused).__name__, reason=refused.strerror
        )
    return next((Path(handler.baseFilename) for handler in handlers if isinstance(handler, _ToFile)), None)


class _ToStderr(logging.StreamHandler[TextIO]):
    """To whatever stderr is at the time, also after somebody replaced it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, _stream: TextIO) -> None:
        """There is nothing to set."""


class _ToFile(logging.handlers.RotatingFileHandler):
    """A file that rotates. A full disk is said once a minute, not as a traceback for every line."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=ROTATE_BYTES, backupCount=KEEP_FILES, encoding="utf-8")
        self._silent_until = 0.0

    def handleError(self, _record: logging.LogRecord) -> None:  # noqa: N802  the name is the base class's
        if time.monotonic() >= self._silent_until:
            self._silent_until = time.monotonic() + _REPEAT_SECONDS
            print(f"The log file {self.baseFilename} cannot be written: {sys.exc_info()[1]}", file=sys.stderr)


class _LibraryLogger(logging.Logger):
    """A logger of a library that would write in its own format: it keeps no handler and hands every line up to us."""

    def addHandler(self, hdlr: logging.Handler) -> None:  # noqa: N802  the name is the base class's
        if self.name.partition(".")[0] not in _ADOPTED:
            super().addHandler(hdlr)

    @property
    def propagate(self) -> bool:
        if self.name == _ACCESS:  # silenced by its owner, not by us: a line for each request helps nobody
            return self._propagate
        return self.name.partition(".")[0] in _ADOPTED or self._propagate

    @propagate.setter
    def propagate(self, value: bool) -> None:
        self._propagate = value


def _adopt_libraries() -> None:
    logging.setLoggerClass(_LibraryLogger)  # loggers that do not exist yet
    for name, logger in logging.root.manager.loggerDict.items():
        if isinstance(logger, logging.Logger) and name.partition(".")[0] in _ADOPTED:
            del logger.handlers[:]
            logger._propagate = logger.__dict__.pop("propagate", True)  # type: ignore[attr-defined]  # it becomes ours on the next line
            logger.__class__ = _LibraryLogger
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _own_file(folder: Path, name: str) -> Path:
    """The file of this process: `<name>.jsonl` unless another process holds it. The lock lives as long as we do."""
    folder.mkdir(parents=True, exist_ok=True)
    if name not in _locks:
        lock = (folder / f".{name}.lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return folder / f"{name}-{os.getpid()}.jsonl"
        _locks[name] = lock
    return folder / f"{name}.jsonl"


_locks: dict[str, TextIO] = {}


def _add_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Trace and span of the moment, where the process traces at all: nothing is imported for it."""
    tracing = sys.modules.get("opentelemetry.trace")
    if tracing is not None:
        context = tracing.get_current_span().get_span_context()
        if context.is_valid:
            event.setdefault("trace_id", f"{context.trace_id:032x}")
            event.setdefault("span_id", f"{context.span_id:016x}")
    return event


def _discreet(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """No secret and no endless text leaves this process, whoever logged it."""
    for name, value in event.items():
        if _SECRET.search(name):
            event[name] = "(hidden)"
        elif isinstance(value, str):
            event[name] = _USERINFO.sub("", value[:_LONGEST_TEXT])
    return event


def _render(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    line = {name: event[name] for name in _FIRST if name in event}
    line |= {name: value for name, value in event.items() if name not in line and name not in _DROPPED}
    try:
        return _dumps(line)
    except TypeError:  # a number beyond 64 bits, half a surrogate pair, a circle: that field as its text
        return _dumps({_dumpable(str(name)): _dumpable(value) for name, value in line.items()})


def _dumps(value: object) -> str:
    """JSON in which NaN and infinity are null and numpy's numbers are numbers."""
    return orjson.dumps(
        value, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    ).decode()


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return list(value)
    return str(value) if isinstance(value, os.PathLike) else repr(value)[:_LONGEST_TEXT]


def _dumpable(value: Any) -> Any:
    try:
        _dumps(value)
    except TypeError:
        return repr(value)[:_LONGEST_TEXT].encode(errors="replace").decode()
    return value


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    log.critical("Uncaught exception", error_type=kind.__name__, exc_info=(kind, error, trace))


def _uncaught_in_thread(told: threading.ExceptHookArgs) -> None:
    if told.exc_value is None or issubclass(told.exc_type, SystemExit):
        return
    log.critical(
        "Uncaught exception in a thread",
        thread=None if told.thread is None else told.thread.name,
        error_type=told.exc_type.__name__,
        exc_info=(told.exc_type, told.exc_value, told.exc_traceback),
    )
