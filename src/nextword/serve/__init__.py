"""A model over HTTP, for the page in the browser: `nextword serve`, and the file to share."""
