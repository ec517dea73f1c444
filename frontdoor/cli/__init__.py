"""The command line: thin verbs over the control API.

A module a verb, imported when that verb is used; none of them imports trio, rich or pydantic before it needs
them, because ``frontdoor swap`` is part of somebody's deploy script and should start in 150 ms.
"""
