"""What pages are made of: their frame and their plots."""
