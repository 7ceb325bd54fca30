"""Lazy lists: one page at a time, and only when it is asked for."""
