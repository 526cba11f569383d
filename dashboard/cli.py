"""The command `moe-dashboard`: which subcommands there are, and how a wrong setting is said.

Knows no subcommand's work and imports nothing heavy: each is imported when it is asked for, so that
`moe-dashboard --version` costs no Streamlit and a missing extra spoils only what needs it.
"""

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import cast

import dashboard
from dashboard.settings import SettingError, Settings

Run = Callable[[argparse.Namespace, Settings], int]

# name -> (module that offers add_parser(subparsers), what it does); the order is the order of --help
COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("dashboard.cli", "serve the dashboard"),
    "demo": ("dashboard.demo", "start an example router, Prometheus, Alertmanager, exporter and dashboard"),
    "exporter": ("dashboard.exporter", "serve GPU and host metrics of this machine"),
    "benchmark": ("dashboard.benchmark.cli", "measure a model: run, list, show, compare, report"),
    "export": (
        "dashboard.export.cli",
        "write rules, Grafana, Alertmanager, Kubernetes files and the metric table",
    ),
    "doctor": ("dashboard.doctor", "check configuration, sources, metrics and rules"),
    "report": ("dashboard.report.cli", "write a run or a stretch of time as one HTML file"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0 fine, 1 something is wrong, 2 it was asked wrongly."""
    parser, words = _parser([*(sys.argv[1:] if argv is None else argv)])
    chosen = parser.parse_args(words)
    run = cast("Run | None", getattr(chosen, "run", None))
    if run is None:
        parser.print_help(sys.stderr)
        return 2
    before = signal.signal(signal.SIGTERM, _asked_to_end)
    try:
        return run(chosen, Settings.load(chosen.config))
    except SettingError as why:
        print(f"moe-dashboard: {why}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `moe-dashboard … | head` has seen enough
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # so that the last flush fails silently
        return 141
    finally:
        signal.signal(signal.SIGTERM, before)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `serve`, the one subcommand whose flags are settings."""
    parser = subparsers.add_parser("serve", help=COMMANDS["serve"][1], description=COMMANDS["serve"][1])
    parser.add_argument("--port", type=int, help="port to listen on (setting: port)")
    parser.add_argument("--host", help="address to listen on (setting: host); loopback unless told otherwise")
    parser.set_defaults(run=_serve)


def _serve(arguments: argparse.Namespace, settings: Settings) -> int:
    from dashboard import server  # Streamlit only where it is served

    flags = {name: getattr(arguments, name) for name in ("port", "host")}
    return server.serve(
        replace(settings, **{name: value for name, value in flags.items() if value is not None})
    )


def _parser(words: list[str]) -> tuple[argparse.ArgumentParser, list[str]]:
    """The parser for these words, and the words in the order it wants: --config may stand anywhere."""
    general = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    general.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML file of settings; the environment goes before it"
    )
    chosen, rest = general.parse_known_args(words)
    parser = argparse.ArgumentParser(
        prog="moe-dashboard",
        description="A live operations dashboard for self-evolving Mixture-of-Experts routers.",
        parents=[general],
    )
    parser.add_argument("--version", action="version", version=f"moe-dashboard {dashboard.__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND")
    for name, (module, about) in COMMANDS.items():
        if name in rest[:1]:
            importlib.import_module(module).add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=about)
    return parser, (["--config", str(chosen.config), *rest] if chosen.config else rest)


def _asked_to_end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)  # a service manager asked; everything in `finally` still runs


if __name__ == "__main__":
    sys.exit(main())
