"""The HTTP doors, one module a door."""
