"""What exists and what can happen, as pure values: standard library only, time is an argument."""
