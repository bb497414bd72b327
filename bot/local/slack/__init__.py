"""The Slack stand-in: the Web API, Socket Mode, HTTP mode and a chat page, on 127.0.0.1."""
