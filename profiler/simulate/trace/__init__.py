"""Tracing a step: every allocation and free of the real stack, in order."""
