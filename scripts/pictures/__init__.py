"""Pictures for the docs that are taken of what runs."""
