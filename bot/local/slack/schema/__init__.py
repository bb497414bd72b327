"""The JSON schema of Block Kit, generated from Slack's own TypeScript types (generate.sh makes it again)."""
