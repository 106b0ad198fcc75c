"""What runs again and again: dispatcher, recorder, receiver, timekeeper, notifier, click counter."""
