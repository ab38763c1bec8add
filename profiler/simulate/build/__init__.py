"""Building what is traced: the model on the meta device, PEFT around it, fake tensors in it."""
