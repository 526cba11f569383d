"""The heatmap of a histogram's buckets: shares of all requests, none where nothing was asked."""

import numpy as np
import pandas as pd

from dashboard.catalogue.units import SECONDS
from dashboard.figures import buckets

TIMES = pd.date_range("2026-11-23T10:00:00Z", periods=3, freq="1min")


def test_cumulative_buckets_become_shares_and_no_requests_a_hole():
    share = buckets.shares(np.array([[6.0, 0.0, 1.0], [9.0, 0.0, 0.5], [10.0, 0.0, 2.0]]))
    np.testing.assert_allclose(share[:, 0], [0.6, 0.3, 0.1])
    assert np.isnan(share[:, 1]).all()
    assert share[1, 2] == 0.0  # replicas scraped at different moments: never below nothing


def test_bounds_are_ordered_as_numbers_and_said_with_their_unit():
    frame = pd.DataFrame(
        {"+Inf": [10.0] * 3, "0.1": [9.0] * 3, "0.05": [6.0] * 3, "1e-03": [0.0] * 3}, index=TIMES
    )
    [trace] = buckets.draw(frame, SECONDS).data
    assert list(trace.y) == ["to 1 ms", "to 50 ms", "to 100 ms", "above 100 ms"]
    np.testing.assert_allclose(np.asarray(trace.z)[:, 0], [0, 60, 30, 10], rtol=1e-6)
