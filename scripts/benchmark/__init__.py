"""How fast frontdoor is beside HAProxy, nginx and Envoy: the same load on each in turns, on one machine, in one run."""
