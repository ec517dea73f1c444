"""Metrics for Prometheus: made when they are asked for, from the state that ``status --json`` shows."""
