"""Block of the Hardware page: this machine's own values beside what Prometheus has of it, where the two disagree."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from collectors.prometheus.answers import RawSeries
from collectors.unavailable import Unavailable
from dashboard.catalogue import hardware
from dashboard.catalogue.spec import Metric
from dashboard.shell import charts, instances, states
from dashboard.shell.look import Look
from dashboard.shell.text import ago, plain
from dashboard.verdict import scraped
from dashboard.verdict.scraped import Compared

WHY = (
    "Medians of the last five minutes: of this server's own looks at the kernel and the driver, and of what Prometheus scraped. "
    "Where they differ, Prometheus scrapes another machine or container under this name, or an exporter that hangs."
)


def block(look: Look) -> None:
    """Nothing where no Prometheus is configured; a sentence where both agree; a table where they do not."""
    prometheus = look.sources.prometheus
    if prometheus is None:
        return
    charts.heading("This machine, and what Prometheus has of it", WHY)
    names = "|".join(metric.name for metric in (*scraped.COMPARED, hardware.GPU_INFO))
    looked = look.sources.scraped.get(
        "this machine", lambda: tuple(prometheus.raw(f'{{__name__=~"{names}"}}', scraped.SECONDS))
    )
    if looked.value is None or looked.unavailable is not None:
        states.unavailable(looked.unavailable or Unavailable("Prometheus was not asked yet."))
        return
    seen = look.sources.sampler.latest
    gpus = () if seen is None or isinstance(seen.gpus, Unavailable) else seen.gpus
    series: Sequence[RawSeries] = looked.value
    url = look.sources.settings.prometheus_url
    here = scraped.instances(series, gpus, lambda instance: instances.is_here(instance, url))

    def history(metric: Metric, labels: Mapping[str, str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return look.sources.sampler.history(metric, labels, scraped.SECONDS)

    _show(scraped.compare(series, here, gpus, history), here, look)


def _show(compared: Sequence[Compared], here: set[str], look: Look) -> None:
    if not compared:
        named = f" ({', '.join(sorted(here))})" if here else ""
        states.quiet(
            f"Prometheus scrapes this machine{named}, and no value is known on both sides yet."
            if here
            else "No scraped instance is known to be this machine, so there is nothing to compare."
        )
        return
    apart = [one for one in compared if not one.agrees]
    where = ", ".join(sorted({one.instance for one in compared}))
    newest = max(one.scraped_at for one in compared)
    if not apart:
        st.caption(
            plain(
                f"Both have the same: {len(compared)} values compared with {where}, last scraped {ago(newest, look.now)}."
            )
        )
        return
    st.warning(
        plain(f"{len(apart)} of {len(compared)} values of {where} are not what this machine says itself."),
        icon=":material/compare_arrows:",
    )
    st.dataframe(
        table(apart, look.now),
        hide_index=True,
        alt="Values that this machine and Prometheus have differently",
    )
    st.caption(plain(WHY))


def table(apart: Sequence[Compared], now: float) -> pd.DataFrame:
    """One row a value, both as a person reads them."""
    return pd.DataFrame(
        [
            {
                "what": one.metric.help,
                "of": ", ".join(f"{name} {value}" for name, value in one.labels.items()) or "this machine",
                "this machine says": one.metric.unit.format(one.here),
                "Prometheus has": one.metric.unit.format(one.scraped),
                "of instance": one.instance,
                "scraped": ago(one.scraped_at, now),
            }
            for one in apart
        ]
    )
