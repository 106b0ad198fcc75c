"""Pages for operators, made on the server; a little htmx keeps them fresh."""
