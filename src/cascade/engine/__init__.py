"""What runs again and again, one loop a module; `worker` starts them."""
