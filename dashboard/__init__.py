"""What the numbers mean: catalogue, feed, figures, alerts, runbooks, benchmark."""

__version__ = "0.1.0"
