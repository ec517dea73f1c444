"""The data plane: from an accepted client to the last byte of its stream."""
