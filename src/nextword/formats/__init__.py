"""File formats of other projects, read and written."""
