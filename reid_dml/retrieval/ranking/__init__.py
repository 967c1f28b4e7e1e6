"""What the ranking metrics need of every query: how many wrong items come before each true match."""
