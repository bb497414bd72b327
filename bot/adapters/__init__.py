"""What the bot calls: shell, Slack, journal, network."""
