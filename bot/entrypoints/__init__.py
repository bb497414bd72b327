"""What calls the bot: Slack listeners, the webhook, the probe schedule."""
