"""The lab: real directors in two virtual machines on a bridge in a network namespace."""
