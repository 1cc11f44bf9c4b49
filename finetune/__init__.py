"""The repository teaches the model: samples, training, evaluation, adapters.

- data: `files` and `repository` read a tree and a history, `neardup` keeps copies apart, `holes`
  and `history` cut, `snippets` finds what other files define, `samples` and `encode` tokenise,
  `dataset` writes it all (`folder`, `store`, `cases`); `sources`, `corpus` and `chat` are those
  of the model that we ship
- training: `recipe`, `packing`, `schedule`, `learner`, `loss`, `attention`, `checkpoint`,
  `processes`, `device`; `train` is the loop, `launch` runs it as a child, `curve` draws it
- evaluation: `evaluate` over `variant`s of a model, with `metrics`, `bootstrap`, `report`;
  `held_out` finds holes, `chat_check` asks whether chat was kept
- results: `registry` and `gate` for adapters; `compress` and `release` for the shipped model;
  `tune` ties it together for a repository; `bundle`, `assemble`, `gpu`, `forced` take the
  training to a machine without network

What the trainer needs imports torch, transformers, peft, numpy and safetensors only. May import
`completion` and the shared modules of `tandem`.
"""
