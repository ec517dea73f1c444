"""Hooks: the user's own programs, told of what happens, or asked before it does. Whatever they do, no traffic waits."""
