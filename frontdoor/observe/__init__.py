"""Observe: what people look at while frontdoor runs. The log, and later metrics and the dashboard."""
