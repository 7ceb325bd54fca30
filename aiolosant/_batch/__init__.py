"""Many items at once, with one outcome for each."""
