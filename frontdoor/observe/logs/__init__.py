"""Logs: events and messages as lines for people and machines. Whoever logs never waits for whoever reads."""
