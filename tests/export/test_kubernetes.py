"""The Kubernetes files, part by part: they fit each other, the server and the image. docs/measurements has the strict validation."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from dashboard import cli
from dashboard.export import kubernetes
from dashboard.export.cli import WHAT
from dashboard.health.endpoints import PATHS
from dashboard.settings import Settings
from tests.services import ROOT

CONTAINERFILE = (ROOT / "deploy" / "Containerfile").read_text(encoding="utf-8")

# Every key that may stand in these files (apps/v1, v1, kustomize v1beta1, monitoring.coreos.com/v1): a misspelt one would be ignored.
KEYS = frozenset(
    [
        "apiVersion",
        "kind",
        "metadata",
        "name",
        "labels",
        "spec",
        "data",
        "resources",
        "replicas",
        "revisionHistoryLimit",
        "strategy",
        "type",
        "selector",
        "matchLabels",
        "template",
        "serviceAccountName",
        "automountServiceAccountToken",
        "enableServiceLinks",
        "terminationGracePeriodSeconds",
        "securityContext",
        "runAsNonRoot",
        "runAsUser",
        "runAsGroup",
        "fsGroup",
        "fsGroupChangePolicy",
        "seccompProfile",
        "containers",
        "volumes",
        "image",
        "imagePullPolicy",
        "args",
        "env",
        "value",
        "envFrom",
        "secretRef",
        "optional",
        "ports",
        "containerPort",
        "protocol",
        "startupProbe",
        "livenessProbe",
        "readinessProbe",
        "httpGet",
        "path",
        "port",
        "periodSeconds",
        "timeoutSeconds",
        "failureThreshold",
        "requests",
        "limits",
        "cpu",
        "memory",
        "storage",
        "allowPrivilegeEscalation",
        "readOnlyRootFilesystem",
        "capabilities",
        "drop",
        "volumeMounts",
        "mountPath",
        "readOnly",
        "configMap",
        "persistentVolumeClaim",
        "claimName",
        "emptyDir",
        "sizeLimit",
        "accessModes",
        "targetPort",
        "endpoints",
        "interval",
        "app.kubernetes.io/name",
        "app.kubernetes.io/component",
        "dashboard.toml",
    ]
)


@pytest.fixture(scope="module")
def objects() -> dict[str, Any]:
    settings = Settings(
        prometheus_url="https://prom.example.org/team",
        alertmanager_url=("http://a:9093", "http://b:9093"),
        job='odd "job"\\ ☃',
        prometheus_bearer_token="s3cret",
    )
    return {name: yaml.safe_load(text(settings)) for name, text in WHAT["kubernetes"].items()}


@pytest.fixture(scope="module")
def pod(objects) -> dict[str, Any]:
    return objects["deployment.yaml"]["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def container(pod) -> dict[str, Any]:
    [only] = pod["containers"]
    return only


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


def test_there_is_no_key_that_kubernetes_does_not_know(objects):
    assert set(keys(list(objects.values()))) <= KEYS


def test_a_misspelt_key_would_be_seen():
    assert not set(keys({"livenessProbe": {"failureTreshold": 6}})) <= KEYS


def test_selectors_match_the_labels_of_the_pod(objects):
    labels = objects["deployment.yaml"]["spec"]["template"]["metadata"]["labels"]
    assert objects["deployment.yaml"]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert objects["service.yaml"]["spec"]["selector"].items() <= labels.items()
    selected = objects["servicemonitor.yaml"]["spec"]["selector"]["matchLabels"].items()
    assert selected <= objects["service.yaml"]["metadata"]["labels"].items()


def test_probes_ask_routes_that_the_server_has_and_have_patience(container):
    for probe, path, failures in (
        ("startupProbe", "/livez", 60),
        ("livenessProbe", "/livez", 6),
        ("readinessProbe", "/readyz", 3),
    ):
        asked = container[probe]
        assert (asked["httpGet"]["path"], asked["failureThreshold"], asked["timeoutSeconds"]) == (
            path,
            failures,
            5,
        )
        assert path in PATHS
        assert asked["httpGet"]["port"] in {port["name"] for port in container["ports"]}


def test_the_service_leads_to_the_port_and_the_monitor_to_the_metrics(objects, container):
    [port] = objects["service.yaml"]["spec"]["ports"]
    assert port["targetPort"] in {own["name"] for own in container["ports"]}
    [endpoint] = objects["servicemonitor.yaml"]["spec"]["endpoints"]
    assert endpoint["port"] == port["name"]
    assert endpoint["path"] in PATHS


def test_the_pod_has_no_privilege_it_does_not_need(pod, container):
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] >= 10_000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert {"requests", "limits"} <= container["resources"].keys()


def test_every_mount_has_its_volume_and_every_volume_its_object(objects, pod, container):
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    assert volumes["config"]["configMap"]["name"] == objects["configmap.yaml"]["metadata"]["name"]
    claim = volumes["data"]["persistentVolumeClaim"]["claimName"]
    assert claim == objects["persistentvolumeclaim.yaml"]["metadata"]["name"]


def test_the_configuration_is_one_the_dashboard_reads(objects, container, tmp_path):
    config = tmp_path / "dashboard.toml"
    config.write_text(objects["configmap.yaml"]["data"]["dashboard.toml"], encoding="utf-8")
    chosen = Settings.load(config, environ={})
    assert chosen.prometheus_url == "https://prom.example.org/team"
    assert chosen.alertmanager_url == ("http://a:9093", "http://b:9093")
    assert chosen.job == 'odd "job"\\ ☃'
    assert chosen.port == container["ports"][0]["containerPort"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert str(chosen.data_dir) == mounts["data"]
    environment = {one["name"]: one["value"] for one in container["env"]}
    assert environment["MOE_DASHBOARD_CONFIG"] == f"{mounts['config']}/dashboard.toml"
    assert environment["HOME"] == mounts["tmp"]


def test_no_secret_is_written_down(objects):
    assert "s3cret" not in str(objects)


def test_kustomize_takes_files_that_are_written(objects):
    assert set(objects["kustomization.yaml"]["resources"]) == set(objects) - {
        "kustomization.yaml",
        "servicemonitor.yaml",
    }


def test_the_image_is_built_from_files_there_are_and_runs_as_the_pod_s_user(container):
    copied = [
        words
        for line in re.findall(r"^COPY (?!--from)(.*)$", CONTAINERFILE, re.MULTILINE)
        for words in line.split()[:-1]
    ]
    assert copied
    assert [path for path in copied if not (ROOT / path).exists()] == []
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    assert {*packages["packages"], *packages["force-include"]} <= set(copied)
    assert (
        re.findall(r"^USER (.*)$", CONTAINERFILE, re.MULTILINE)[-1] == f"{kubernetes.USER}:{kubernetes.USER}"
    )
    assert set(re.findall(r"^FROM (\S+)", CONTAINERFILE, re.MULTILINE)) == {
        "docker.io/library/python:3.11-slim"
    }
    assert container["args"][0] in cli.COMMANDS
    assert '\nENTRYPOINT ["moe-dashboard"]\n' in CONTAINERFILE
    assert f"MOE_DASHBOARD_DATA_DIR={kubernetes.DATA}" in CONTAINERFILE
