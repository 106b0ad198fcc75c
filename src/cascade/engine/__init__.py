"""What runs again and again: dispatcher, receiver, timekeeper."""
