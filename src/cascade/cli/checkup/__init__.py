"""What `cascade doctor` looks at, one module a place."""
