"""The live screen of ``frontdoor top``: what is known and what is shown are pure; only here rich is imported."""
