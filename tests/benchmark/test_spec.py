"""Which cells a profile asks for."""

import pytest

from dashboard.benchmark.spec import PROFILES, DeviceKind, cells


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_no_cell_is_asked_for_twice_and_all_fit_into_the_time(profile: str, kind: DeviceKind):
    asked = cells(profile, kind, half_precision=kind == "cuda")
    assert len({cell.key for cell in asked}) == len(asked)
    chosen = PROFILES[profile]
    at_most = len(asked) * chosen.cell_seconds * (chosen.launches if profile != "full" else 1)
    assert at_most <= chosen.soft_limit_seconds


def test_every_axis_is_in_the_full_profile():
    asked = cells("full", "cuda", half_precision=True)
    values = {
        name: {cell.params.get(name) for cell in asked}
        for name in ("batch", "sequence", "dtype", "skew", "experts", "compile")
    }
    assert all(len(found) > 1 for found in values.values()), values
    assert values["skew"] == {"uniform", "zipf", "one-hot"}
    assert 1 in values["sequence"]  # decode


def test_compile_is_an_axis_from_the_standard_profile_on():
    for kind in ("cpu", "cuda"):
        for profile in PROFILES:
            compiled = [
                c for c in cells(profile, kind, half_precision=kind == "cuda") if "compile" in c.params
            ]
            assert len(compiled) == (0 if profile == "quick" else 2)
            if kind == "cpu":  # grouped products are traced in bfloat16 alone
                assert all(cell.params["experts"] in ("gather", "dense") for cell in compiled)
