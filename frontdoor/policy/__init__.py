"""Pure decisions: no I/O, no clock (the time is passed in), no trio, no os.

What is here can be read, tested and printed as a diagram without anything running.
"""
