"""Reports: what happened in a swap, as a record that is kept, as text, and as a picture."""
