"""The repository teaches the model: samples, training, evaluation, adapters.

- data: `files` and `repository` read a tree and a history, `neardup` keeps copies apart, `holes`
  and `history` cut, `snippets` finds what other files define, `samples` and `encode` tokenise,
  `dataset` makes it all with `build` (`folder`, `store`, `cases`); `sources`, `corpus` and `chat`
  are those of the model that we ship
- training: `recipe`, `packing`, `schedule`, `learner`, `loss`, `attention`, `fused`, `optimizer`,
  `state`, `checkpoint`, `processes`, `device`, `start`; `trainer` is the loop, `train` runs it, `launch` as
  a child, `curve` draws it, `picture` for the docs
- evaluation: `evaluate` over `variant`s of a model, with `metrics`, `bootstrap`, `report`;
  `held_out` finds holes, `compare` holds an adapter against its base, `chat_check` asks whether
  chat was kept
- results: `registry` and `gate` for adapters, `sharing` with a team; `compress`, `squeeze`, `strength` and `release` for
  the shipped model; `tune` ties it together for a repository; `bundle`, `parts`, `assemble`, `gpu`,
  `forced` take the training to a machine without network

What the trainer needs imports torch, transformers, peft, numpy and safetensors only. May import
`completion` and the shared modules of `tandem`.
"""
