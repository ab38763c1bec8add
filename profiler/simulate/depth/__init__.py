"""Depth: which layers of a model are traced, and the stream of the whole model made of them."""
