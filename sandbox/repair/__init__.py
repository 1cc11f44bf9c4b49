"""Candidate patches for Python source: from templates over the syntax tree, and from the model."""
