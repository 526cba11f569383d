"""Can the rules that are loaded work at all? One verdict a rule, with the reason and the fix; worked out once it is opened."""

import time
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard import doctor
from dashboard.alerts.rule_doctor import Verdict
from dashboard.feed.source import Shared
from dashboard.shell import states
from dashboard.shell.look import Look
from dashboard.shell.text import plain, short

_verdicts: Shared[tuple[tuple[Verdict, ...], str]] = Shared(60.0, time.time, most=4)  # rules seldom change


def verdicts(look: Look) -> None:
    """A table of all rules, those that cannot work first."""
    place = st.expander("Can the rules work?", key="rule-verdicts", on_change="rerun", icon=":material/rule:")
    if not place.open:
        return
    with place:
        sources = look.sources
        looked = _verdicts.get(id(sources), lambda: doctor.examine_rules(sources))
        if looked.value is None:
            if looked.unavailable is not None:
                states.unavailable(looked.unavailable)
            return
        found, origin = looked.value
        ill = [verdict for verdict in found if not verdict.healthy]
        st.caption(
            plain(
                f"{len(found)} rules ({origin}): "
                + (
                    f"something was found in {len(ill)} of them."
                    if ill
                    else "nothing was found in any of them."
                )
            )
        )
        if ill:
            st.dataframe(table(ill), hide_index=True, alt="What is wrong with rules")


def table(found: Sequence[Verdict]) -> pd.DataFrame:
    """One row for each thing that was found, what is bad before what is only worth a look."""
    rows: list[dict[str, str]] = [
        {
            "rule": short(verdict.rule.name),
            "verdict": "cannot work" if symptom.level == "bad" else "worth a look",
            "reason": short(symptom.reason),
            "fix": short(symptom.fix),
            "group": short(verdict.rule.group),
        }
        for verdict in found
        for symptom in verdict.symptoms
    ]
    rows.sort(key=lambda row: row["verdict"])
    return pd.DataFrame(rows)
