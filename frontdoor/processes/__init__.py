"""Generations as running things: started through the keeper, proved ready, drained of their output, stopped."""
