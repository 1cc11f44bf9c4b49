"""The embedded engine: a small decoder served over OpenAI-compatible HTTP, on a laptop's CPU.

`model` is the forward pass over `kv`, `sample` picks tokens, `generate` is the loop of one
request, `adapters` merges what a repository taught the model, `scheduler` is the one thread that
owns the model, `server` the HTTP face, `background` starts one shared engine and finds it again.
"""
