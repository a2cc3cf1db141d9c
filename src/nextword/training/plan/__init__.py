"""The dial: which model, and how many steps, for this data, time and machine."""
