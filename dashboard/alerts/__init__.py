"""Alerts: one list from Prometheus and Alertmanager, its history, and whether the rules behind it can work."""
