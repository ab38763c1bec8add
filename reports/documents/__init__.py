"""Documents: what a report says, apart from what it is written in. `markdown` and `html` write them."""
