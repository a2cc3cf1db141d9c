"""A wrong next word, corrected on the spot: lessons, what they change, and how they are undone."""
