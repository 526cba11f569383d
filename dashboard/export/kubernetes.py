"""Kubernetes: the dashboard as one pod behind a service, with a volume for what it keeps, as little privilege as it needs.

Probes ask the process alone: a Prometheus that is down must not restart or remove the dashboard, which then has the
most to say. The router itself is not deployed here; any process with the observer in it is one.
"""

import json
from typing import Any

import dashboard
from dashboard.export.document import dump
from dashboard.settings import Settings

NAME = "moe-dashboard"
LABELS = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/component": "dashboard"}
USER = 10_001  # of deploy/Containerfile
PORT = 8501
DATA, CONFIG = "/data", "/etc/moe-dashboard"
IN_CLUSTER = "http://prometheus-operated.monitoring.svc:9090"  # as the Prometheus Operator names its service

_ORIGIN = "Written by `moe-dashboard export kubernetes` from dashboard/export/kubernetes.py. Change it there and export again."


def kustomization() -> str:
    """kustomization.yaml: `kubectl apply -k` takes all but the ServiceMonitor, whose kind not every cluster knows."""
    document = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["configmap.yaml", "persistentvolumeclaim.yaml", "service.yaml", "deployment.yaml"],
    }
    header = f"{_ORIGIN}\nAdd servicemonitor.yaml where the Prometheus Operator runs."
    return dump(document, header=header)


def configmap(settings: Settings) -> str:
    """configmap.yaml: the settings as the TOML file the dashboard reads."""
    chosen: dict[str, str | int] = {
        "host": "0.0.0.0",  # noqa: S104  inside the pod; who reaches it is the service's and the network policy's affair
        "port": PORT,
        "data_dir": DATA,
        "prometheus_url": settings.prometheus_url or IN_CLUSTER,
        "job": settings.job,
        "dashboard_url": settings.dashboard_url,
    }
    toml = "".join(f"{name} = {_toml(value)}\n" for name, value in chosen.items())
    if settings.alertmanager_url:
        toml += f"alertmanager_url = {_toml(','.join(settings.alertmanager_url))}\n"
    header = (
        f"{_ORIGIN}\nEvery setting may stand here under its own name. Passwords and tokens belong in the Secret {NAME},\n"
        "as environment variables (MOE_DASHBOARD_PROMETHEUS_BEARER_TOKEN, …). Set dashboard_url to where people reach it.\n"
        "Without a login nobody but the pod itself may write: acknowledge, silence, tick or start a benchmark."
    )
    document = _object("v1", "ConfigMap") | {"data": {"dashboard.toml": toml}}
    return dump(document, header=header)


def persistentvolumeclaim() -> str:
    """persistentvolumeclaim.yaml: benchmark runs, the store and the dashboard's own log."""
    document = _object("v1", "PersistentVolumeClaim") | {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}}
    }
    return dump(document, header=_ORIGIN)


def service() -> str:
    """service.yaml: inside the cluster alone. What leads to people from outside should ask who they are."""
    document = _object("v1", "Service") | {
        "spec": {
            "type": "ClusterIP",
            "selector": LABELS,
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
        }
    }
    header = f"{_ORIGIN}\nA page holds a WebSocket open: an ingress before it needs upgrades and a read timeout of an hour."
    return dump(document, header=header)


def servicemonitor() -> str:
    """servicemonitor.yaml: the dashboard's own /metrics, for the Prometheus Operator."""
    document = _object("monitoring.coreos.com/v1", "ServiceMonitor") | {
        "spec": {
            "selector": {"matchLabels": LABELS},
            "endpoints": [{"port": "http", "path": "/metrics", "interval": "15s"}],
        }
    }
    return dump(document, header=f"{_ORIGIN}\nOnly where the Prometheus Operator runs.")


def deployment() -> str:
    """deployment.yaml: one replica, because the store is a file; with `store_url` on PostgreSQL there may be more."""
    pod = {
        "serviceAccountName": "default",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container()],
        "volumes": [
            {"name": "config", "configMap": {"name": NAME}},
            {"name": "data", "persistentVolumeClaim": {"claimName": NAME}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
        ],
    }
    document = _object("apps/v1", "Deployment") | {
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 3,
            "strategy": {"type": "Recreate"},  # two pods must not share the store's file
            "selector": {"matchLabels": LABELS},
            "template": {"metadata": {"labels": LABELS}, "spec": pod},
        }
    }
    header = (
        f"{_ORIGIN}\nThe image is what deploy/Containerfile builds; name the one of your registry.\n"
        "The probes ask the process alone, never Prometheus, and have patience: Python answers late when many sessions draw."
    )
    return dump(document, header=header)


def _container() -> dict[str, Any]:
    return {
        "name": "dashboard",
        "image": f"moe-router-dashboard:{dashboard.__version__}",
        "imagePullPolicy": "IfNotPresent",
        "args": ["serve"],
        "env": [
            {"name": "MOE_DASHBOARD_CONFIG", "value": f"{CONFIG}/dashboard.toml"},
            {"name": "HOME", "value": "/tmp"},  # noqa: S108  the only place libraries may write what they cache
        ],
        "envFrom": [{"secretRef": {"name": NAME, "optional": True}}],
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        # Imports take seconds on a cold node; one restart in a minute of silence, not before.
        "startupProbe": _probe("/livez", period=2, failures=60),
        "livenessProbe": _probe("/livez", period=10, failures=6),
        "readinessProbe": _probe("/readyz", period=10, failures=3),
        "resources": {
            "requests": {"cpu": "250m", "memory": "512Mi"},
            "limits": {"memory": "2Gi"},  # none of CPU: throttling is what makes a probe late
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "config", "mountPath": CONFIG, "readOnly": True},
            {"name": "data", "mountPath": DATA},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  a volume of the pod's own
        ],
    }


def _probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _object(version: str, kind: str) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": NAME, "labels": LABELS}}


def _toml(value: str | int) -> str:
    return json.dumps(value)  # a JSON text or number is one of TOML too
