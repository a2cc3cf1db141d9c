"""The ladder from the article's model to today's, climbed on any data."""
