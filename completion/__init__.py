"""From a cursor to a suggestion.

One request flows through `session`: `syntax` cuts the text around the cursor, `prompt` renders
it for the model's family, `client` asks whatever serves the model, `filters` decides what may
be shown. `models` is the model store, `engine/` the embedded model server.

May import the shared modules of `tandem`, and nothing else of ours.
"""
