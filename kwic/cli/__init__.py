"""Floor 3: the `kwic` command, one file per verb."""
