"""A value in, a message out: blocks for Slack, text for a terminal. Pure."""
