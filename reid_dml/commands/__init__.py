"""What the tools call: each module puts together from objects what one command does."""
