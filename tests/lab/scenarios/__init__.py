"""What goes wrong at a real site, told as timelines, and what the bot must make of each."""
