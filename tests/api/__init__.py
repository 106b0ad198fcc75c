"""The HTTP doors, spoken to over real sockets."""
