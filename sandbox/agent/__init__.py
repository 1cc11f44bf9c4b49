"""The agent: a chat model with tools that looks for a patch, and is never believed.

loop         one attempt: plan, act, observe, reflect, until the sandbox says that it is solved
tools        what the model may ask for: search, open, edit, run_tests, run, finish
checks       what the tests say: of a patch, of a test that is to reproduce an issue
observe      results made short, and marked as data
reflect      why it failed, and when it goes round in circles
conversation what the model gets to read, trimmed
budget       steps, tokens, money, minutes
trajectory   each step as a line, from which a run goes on and is replayed
team         several attempts side by side, and the patches that came of them
"""
