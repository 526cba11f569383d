"""`moe-dashboard export WHAT -o FOLDER`: which documents there are and what their files are called."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from dashboard.export import kubernetes
from dashboard.export.alertmanager import alertmanager
from dashboard.export.grafana import grafana
from dashboard.export.metrics import metrics
from dashboard.export.rules import prometheus, rules
from dashboard.settings import Settings

Documents = dict[str, Callable[[Settings], str]]

WHAT: dict[str, Documents] = {
    "rules": {"rules.yml": rules, "prometheus.yml": prometheus},
    "alertmanager": {"alertmanager.yml": lambda _: alertmanager()},
    "grafana": {"moe-router.json": grafana},
    "kubernetes": {
        "kustomization.yaml": lambda _: kubernetes.kustomization(),
        "configmap.yaml": kubernetes.configmap,
        "persistentvolumeclaim.yaml": lambda _: kubernetes.persistentvolumeclaim(),
        "service.yaml": lambda _: kubernetes.service(),
        "deployment.yaml": lambda _: kubernetes.deployment(),
        "servicemonitor.yaml": lambda _: kubernetes.servicemonitor(),
    },
    "metrics": {"metrics.md": lambda _: metrics()},
}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `export`."""
    about = "write what the catalogue says in another program's words"
    parser = subparsers.add_parser("export", help=about, description=about)
    parser.add_argument("what", choices=WHAT)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="made where missing"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Write the files of one kind and say which; 1 where the folder cannot be written."""
    try:
        for path in write(arguments.what, arguments.output, settings):
            print(path)
    except OSError as why:
        print(
            f"moe-dashboard: {why.filename or arguments.output} cannot be written ({why.strerror}).",
            file=sys.stderr,
        )
        return 1
    return 0


def write(what: str, folder: Path, settings: Settings) -> list[Path]:
    """Write every document of `what` into `folder`, making it where it is missing.

    Raises:
        OSError: the folder or a file cannot be written.
        KeyError: `what` is not in `WHAT`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, document in WHAT[what].items():
        path = folder / name
        path.write_text(document(settings), encoding="utf-8")
        written.append(path)
    return written
