"""Templates: each looks at one statement and proposes changes of one kind. See `catalogue`."""
