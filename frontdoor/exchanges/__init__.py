"""Exchanges: the requests of http doors, and their answers.

They run in the relay's own loop as plain callbacks: a task for each connection would cost more than all the rest.
"""
