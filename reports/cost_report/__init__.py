"""The cost report of one run: what there is to say of it, and the document that says it."""
