"""The agent that runs on a director: one file, Python 3.6 standard library only."""
