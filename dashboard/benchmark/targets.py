"""Which benchmark targets there are: what the operator listed, and whether each can run now. No torch, no import of a target.

A target is chosen by name. The names come from the settings alone; nothing a browser sends is ever imported.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dashboard.benchmark import environment
from dashboard.benchmark.spec import Scalar

_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_MODEL_SIZE_NAMES = (
    "model_size",
    "d_model",
    "dim",
    "model_dim",
    "embed_dim",
    "embedding_dim",
    "hidden_size",
    "token_dim",
)
_EXPERT_SIZE_NAMES = ("expert_size", "expert_hidden", "expert_hidden_dim", "hidden_dim", "hidden", "d_ff", "ffn_dim", "intermediate_size", "expert_dim")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something that can be benchmarked, by name."""

    name: str
    about: str
    factory: str = ""
    why_not: str = ""  # a sentence; empty when it can run
    arguments: Mapping[str, Scalar] = field(default_factory=dict)
    sequence: int | None = None  # the one sequence length it takes, where it takes only one
    standard_axes: bool = True  # batch × sequence × dtype; otherwise the factory says its own
    files: Mapping[str, Path] = field(default_factory=dict)  # argument name → file, kept with the run

    @property
    def available(self) -> bool:
        """Whether it can run now."""
        return not self.why_not


def resolve(name: str, runs_dir: Path | None, models: Mapping[str, str] | None = None) -> Target:
    """One configured name as a target; a name that means nothing gives one that is not available and says why.

    Args:
        models: name → path of a Hugging Face config.json (or of its folder), or "model_type field=value …".
    """
    version, _ = environment.torch_build()
    if models and name in models:
        target = _model(name, models[name])
    elif name == "reference-moe":
        target = Target(
            name=name,
            about="The reference MoE layer with random weights: what plain PyTorch reaches on this device.",
            factory="dashboard.benchmark.workloads:reference_moe",
        )
    elif name == "observed-router":
        target = _observed(runs_dir)
    elif _FACTORY.fullmatch(name):
        target = Target(
            name=name, about="A factory of the operator's own.", factory=name, standard_axes=False
        )
    else:
        why = f"{name!r} is neither a shipped target nor package.module:factory; see the setting benchmark_targets."
        target = Target(name=name, about="Not a target.", why_not=why)
    if version is None and target.available:
        return Target(
            name=target.name,
            about=target.about,
            why_not='PyTorch is not installed here; pip install "moe-router-dashboard[benchmark]" brings it.',
        )
    return target


def _model(name: str, said: str) -> Target:
    """A Hugging Face configuration with random weights. What it means is found out in the worker."""
    about = f"A Hugging Face model with random weights: {said}. Prefill and decode by each experts implementation."

    def not_now(why: str) -> Target:
        return Target(name=name, about=about, why_not=why)

    if find_spec("transformers") is None:
        return not_now(
            'transformers is not installed here; pip install "moe-router-dashboard[transformers]" brings it.'
        )
    arguments: dict[str, Scalar] = {}
    files: dict[str, Path] = {}
    if "/" in said or said.endswith(".json"):
        path = Path(said).expanduser().absolute()
        path = path / "config.json" if path.is_dir() else path
        try:
            kind = json.loads(path.read_text(encoding="utf-8"))["model_type"]
        except (OSError, ValueError, KeyError, TypeError) as why:
            return not_now(f"{path} cannot be read as a model configuration ({type(why).__name__}: {why}).")
        files["config_file"] = path
        arguments["model_type"] = str(kind)
    else:
        kind, *fields = said.split()
        pairs = [field.partition("=") for field in fields]
        if not all(sign for _, sign, _ in pairs):
            return not_now("A model is a model_type and fields with values, e.g. mixtral hidden_size=64.")
        arguments["model_type"] = kind
        arguments["fields"] = json.dumps({field: _value(value) for field, _, value in pairs})
    return Target(
        name=name,
        about=about,
        factory="dashboard.benchmark.pretrained:model",
        arguments=arguments,
        standard_axes=False,
        files=files,
    )


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _observed(runs_dir: Path | None) -> Target:
    """The newest run that wrote a topology: its experts, top-k and open connections."""
    about = "One layer with the experts, top-k and topology that the newest observed run evolved."

    def not_now(why: str) -> Target:
        return Target(name="observed-router", about=about, why_not=why)

    if runs_dir is None:
        return not_now("No runs directory is configured (MOE_DASHBOARD_RUNS_DIR).")
    try:
        topologies = sorted(runs_dir.glob("*/topology.json"), key=lambda path: path.stat().st_mtime)
    except OSError as why:
        return not_now(f"The runs directory cannot be read ({why}).")
    if not topologies:
        return not_now(f"No run in {runs_dir} has written a topology yet.")
    newest = topologies[-1]
    run = newest.parent.name
    try:
        topology = json.loads(newest.read_text(encoding="utf-8"))
        config = json.loads((newest.parent / "run.json").read_text(encoding="utf-8"))["config"]
        positions, experts = len(topology["matrix"]), len(topology["matrix"][0])
        top_k = int(topology["top_k"])
    except (OSError, ValueError, KeyError, TypeError, IndexError) as why:
        return not_now(f"Run {run} cannot be read ({type(why).__name__}: {why}).")
    files = {"topology_file": newest}
    arguments: dict[str, Scalar] = {"observed_run": run}
    checkpoint = newest.parent / "checkpoint.pt"
    if checkpoint.exists():
        files["checkpoint_file"] = checkpoint
    else:
        model_size, expert_size = _first(config, _MODEL_SIZE_NAMES), _first(config, _EXPERT_SIZE_NAMES)
        if model_size is None or expert_size is None:
            missing = "model_size" if model_size is None else "expert_size"
            return not_now(f"Run {run} keeps no checkpoint.pt and its configuration does not say {missing}.")
        arguments |= {"model_size": model_size, "expert_size": expert_size}
    return Target(
        name="observed-router",
        about=f"{about} Now: {run}, {positions} positions × {experts} experts, top-{top_k}.",
        factory="dashboard.benchmark.workloads:observed_router",
        arguments=arguments,
        sequence=positions,
        files=files,
    )


def _first(config: Any, names: tuple[str, ...]) -> int | None:
    if not isinstance(config, Mapping):
        return None
    for name in names:
        value = config.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None
