"""Files to records: discovery, formats, schemas."""
