"""HTTP routes by audience."""
