"""vLLM as Tandem's model server: `tandem serve --backend vllm` writes its command and runs it.

settings     what can be set: `vllm.toml`
environment  where vLLM is
served       which folder it serves, and which adapters
command      settings to arguments and environment, nothing else
runner       runs it until told otherwise: health, adapters, restarts
acceptance   whether speculative decoding pays, from its metrics
inside       what is loaded into vLLM's own process
"""
