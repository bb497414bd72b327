"""The ChatOps bot for people who run LVS (Linux Virtual Server) load balancers."""

__version__ = "0.1.0"
