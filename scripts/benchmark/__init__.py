"""How fast frontdoor is beside HAProxy, nginx, Envoy and Caddy: the same load on each in turns, in one run."""
