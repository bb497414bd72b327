"""The stories of the bot, each told in order: gather, decide, act."""
