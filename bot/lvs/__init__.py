"""The tools' languages: argv out, facts in. Nothing here does I/O."""
