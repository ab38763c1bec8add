"""What a training run needs: memory and disk. Pure Python, no torch."""
