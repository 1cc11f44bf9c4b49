"""Does the sandbox hold? A list of named attacks, each of which must fail; see `table`."""
