"""A twin of every provider, speaking its protocol over real sockets. Knows Cascade by HTTP alone."""
