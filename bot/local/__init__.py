"""A whole site on one machine, for the demo and the tests: the lab of real directors and the Slack stand-in."""
