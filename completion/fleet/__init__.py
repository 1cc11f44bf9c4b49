"""Many replicas behind Ray Serve: `tandem serve --backend ray`.

settings   what can be set: `fleet.toml`
app_file   settings to the file that Ray Serve deploys, nothing else
environment  where Ray is
runner     starts `head`, lets it end
head       in Ray's Python: starts Ray and what the file says
door       in Ray's proxy: who may enter
lending    in Ray's proxy: adapters that somebody with the token has loaded
embedded   in Ray's workers: the embedded engine as a replica, and the way to it
keys       which requests belong together
router     in Ray's workers: which replica a request goes to
listing    which adapters replicas may serve: files
adapters   keeps them as the store is
vllm_adapters  in Ray's workers: those adapters, by name, when they are asked for
vllm_router  Ray's own for vLLM replicas, and what it lacks
"""
