"""The catalogue in other programs' words: Prometheus rules, Alertmanager, Grafana, the metric table.

Each module is a function from settings to text; only `cli` touches the disk. Nothing here talks to a service.
"""
