"""The editor's chat commands: explain, edit, document, tests, fix, ask, review, commit message."""
