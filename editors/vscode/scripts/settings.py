"""Writes the settings of package.json from the server's own: names, kinds, defaults, meanings.

    .venv/bin/python editors/vscode/scripts/settings.py && (cd editors/vscode && npm run format)

A test holds package.json against this, so that the extension cannot fall behind the server.
"""

import json
from pathlib import Path
from typing import Any

from tandem.config import Config

MANIFEST = Path(__file__).parent.parent / "package.json"
TITLES = {
    "completion": "Suggestions",
    "chat": "Chat",
    "engine": "Embedded Engine",
    "sandbox": "Sandbox",
    "agent": "Agent",
}
OURS: dict[str, Any] = {
    "tandem.command": {
        "type": "array",
        "items": {"type": "string"},
        "default": [],
        "scope": "machine-overridable",
        "markdownDescription": "How to start the server, for example "
        '`["/home/me/tandem/.venv/bin/tandem", "lsp"]`. Empty: the server that **Install Server** '
        "made, else `tandem` on PATH.",
    },
    "tandem.env": {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "default": {},
        "scope": "machine-overridable",
        "markdownDescription": "Environment variables for the server, besides VS Code's own.",
    },
    "tandem.package": {
        "type": "string",
        "default": "tandem-pair",
        "scope": "machine",
        "markdownDescription": "What **Install Server** gives to pip: a name, or the path of a "
        "wheel or a folder.",
    },
}


def groups() -> list[dict[str, Any]]:
    """`contributes.configuration`."""
    schema = Config.model_json_schema()
    definitions = schema["$defs"]
    top: dict[str, Any] = dict(OURS)
    found: list[dict[str, Any]] = []
    for name, told in schema["properties"].items():
        if name == "notices":
            continue
        if name not in TITLES:
            top[f"tandem.{name}"] = setting(name, told)
            continue
        section = definitions[told["$ref"].rpartition("/")[2]]
        properties = {
            f"tandem.{name}.{key}": setting(f"{name}.{key}", one)
            for key, one in section["properties"].items()
        }
        found.append({"title": TITLES[name], "properties": properties})
    order = list(TITLES.values())
    found.sort(key=lambda group: order.index(group["title"]))
    return [{"title": "Server", "properties": top}, *found]


def setting(name: str, told: dict[str, Any]) -> dict[str, Any]:
    """One setting. A workspace may set what concerns suggestions; what is sent where, and what may
    run, is set by the user alone: a workspace's settings are most often somebody else's."""
    kept = ("type", "enum", "items", "additionalProperties", "minimum", "maximum")
    made = {key: told[key] for key in kept if key in told}
    if name == "chat.prices":
        made["additionalProperties"] = {
            "type": "array",
            "items": {"type": "number"},
            "minItems": 2,
            "maxItems": 2,
        }
    default = told.get("default")
    if default is None:
        default = {"string": "", "array": [], "object": {}}[made["type"]]
    made["default"] = default
    made["scope"] = "resource" if name.startswith("completion.") else "machine"
    made["markdownDescription"] = told["description"]
    return made


if __name__ == "__main__":
    manifest = json.loads(MANIFEST.read_text("utf-8"))
    manifest["contributes"]["configuration"] = groups()
    MANIFEST.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", "utf-8")
