"""The door process: one trio program that puts the other rooms together.

``door`` is one public service, ``swap`` and ``draining`` carry out what the tables in ``policy`` decide, ``process`` is
the composition root. It is crash-only: it starts by restoring what the keeper holds, which the first time is nothing.
"""
