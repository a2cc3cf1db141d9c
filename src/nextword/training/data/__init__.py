"""A training request to prepared data."""
