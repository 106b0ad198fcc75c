"""The version of this client; the gateway of the same version has every door that it knocks at."""

__version__ = "0.1.0"
