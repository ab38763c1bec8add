"""Measuring in a process of its own, which ends as a sentence whatever happens to it."""
