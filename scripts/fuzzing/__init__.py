"""What scripts/fuzz runs: inputs that are led by the coverage of frontdoor/http, and what must hold for each."""

TARGETS = {"head": "requests", "answer": "answers", "body": "bodies", "frames": "frames"}
"""What is fuzzed, and the modules that say what must hold for it."""
