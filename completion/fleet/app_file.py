"""Settings to what Ray Serve deploys: a JSON file, which `serve deploy` of a cluster takes as well.

No token is in it: the door has that from its environment.
"""

import json
from pathlib import Path
from typing import Any

from completion.fleet.listing import SETTING
from completion.fleet.settings import Settings
from completion.vllm import environment
from completion.vllm.settings import rank_for

NAME = "tandem"
READY = "READY"  # what `head` says once all that was asked for answers
EMBEDDED = "completion.fleet.embedded:build"
VLLM = "ray.serve.llm:build_openai_app"
PREFIX_AWARE = "completion.fleet.vllm_router.TextRouter"
ADAPTERS = "completion.fleet.vllm_adapters"
OURS = "completion.fleet.router.PrefixRouter"
# Ray's prefix tree of prompts grows without end unless it is told to forget.
_FORGETS = {"do_eviction": True}


def made(settings: Settings, name: str, folder: Path, listing: Path) -> dict[str, Any]:
    """For the model `name` in `folder`; `listing` is the file of its adapters."""
    if settings.replica == "vllm":
        app = _vllm(settings, name, folder, listing)
    else:
        app = _ours(settings, name, listing)
    return {
        "proxy_location": "HeadOnly",
        "http_options": {"host": settings.host, "port": settings.port},
        "applications": [{"name": NAME, "route_prefix": "/", **app}],
    }


def text(told: dict[str, Any]) -> str:
    return json.dumps(told, indent=1) + "\n"


def deployment(settings: Settings, router: str) -> dict[str, Any]:
    """Of one kind of replicas, in Ray Serve's words."""
    scaling = settings.scaling
    return {
        "autoscaling_config": {
            "min_replicas": scaling.least,
            "max_replicas": scaling.most,
            "initial_replicas": scaling.least,
            "target_ongoing_requests": scaling.ongoing,
            "look_back_period_s": scaling.look_seconds,
            "metrics_interval_s": scaling.look_seconds / 3,
            "upscale_delay_s": scaling.up_seconds,
            "downscale_delay_s": scaling.down_seconds,
        },
        "max_ongoing_requests": settings.busiest,
        "graceful_shutdown_timeout_s": settings.drain_seconds,
        "request_router_config": {"request_router_class": router},
    }


def _ours(settings: Settings, name: str, listing: Path) -> dict[str, Any]:
    options = deployment(settings, OURS)
    options["ray_actor_options"] = {"num_cpus": settings.cpus, "num_gpus": settings.gpus}
    arguments = {
        "model": name,
        "engine": settings.engine,
        "listing": str(listing),
        "deployment": options,
    }
    return {"import_path": EMBEDDED, "args": arguments}


def _vllm(settings: Settings, name: str, folder: Path, listing: Path) -> dict[str, Any]:
    config: dict[str, Any] = {
        "model_loading_config": {"model_id": name, "model_source": str(folder)},
        "engine_kwargs": {"enable_prefix_caching": True, **settings.engine},
        "deployment_config": deployment(settings, PREFIX_AWARE),
    }
    options = config["deployment_config"]
    variables = environment.OFFLINE
    options["request_router_config"]["request_router_kwargs"] = _FORGETS
    options["ray_actor_options"] = {"num_cpus": settings.cpus}
    if each := settings.adapters.each:
        # On a CPU vLLM's last slot has to stay empty: docs/vllm.md.
        config["engine_kwargs"] = {
            "enable_lora": True,
            "max_loras": each + (0 if settings.gpus else 1),
            "max_lora_rank": rank_for(settings.adapters.most_rank),
            **config["engine_kwargs"],
        }
        config["lora_config"] = {"max_num_adapters_per_replica": each}
        config["server_cls"] = f"{ADAPTERS}.Replica"
        loads = 0 if settings.gpus else each
        config["experimental_configs"] = {SETTING: {"file": str(listing), "loads": loads}}
    if not settings.gpus:
        # By bundles without a GPU Ray knows that vLLM runs on CPUs. It adds the actor's to them.
        config["placement_group_config"] = {"bundles": [{"CPU": settings.cpus}]}
        options["ray_actor_options"] = {"num_cpus": 0}
        variables = variables | environment.ALL_CORES
    config["runtime_env"] = {"env_vars": variables | settings.variables}
    arguments = {
        "llm_configs": [config],
        "ingress_cls_config": {
            "ingress_cls": f"{ADAPTERS}.Ingress",
            "ingress_extra_kwargs": {
                "file": str(listing),
                "context": settings.engine.get("max_model_len", 0),
            },
        },
        "ingress_deployment_config": {
            "ray_actor_options": {"num_cpus": 0},
            "graceful_shutdown_timeout_s": settings.drain_seconds,
        },
    }
    return {"import_path": VLLM, "args": arguments}
