"""Token ids on disk, memory-mapped."""
