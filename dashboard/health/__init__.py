"""Health: what /livez, /readyz, /health and the Health page say, and the checks behind them. Knows no Streamlit."""

from dashboard.health.check import Check
from dashboard.health.endpoints import routes
from dashboard.health.health import Health

__all__ = ["Check", "Health", "routes"]
