"""What may be shown of an answer, rule by rule.

Each rule takes the text, and what it needs of the place, and gives what is left of the text: all
of it where the rule has nothing to say. None adds anything but indentation. `filters` runs them.
"""
