"""Many runs at once: what memory and time all the ways to train a model take, in numpy. The plan of one needs none."""
