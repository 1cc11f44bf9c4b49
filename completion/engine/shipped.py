"""What the default model learned from us: a compressed difference, merged when it is loaded.

The file travels with the program (`completion/shipped`), as `finetune.compress` writes it. The
base model under it is somebody else's and is pulled by hash, so the difference is added only to
weights with the hash it was made for. Where it is not added the model is the base alone, and
the prompt's template is the base's.
"""

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError, safe_open

from completion import adapters, families
from completion.manifest import InstalledModel
from completion.sources import DEFAULT
from completion.templates import templates
from tandem.errors import ModelError

if TYPE_CHECKING:  # whoever lists models reads the header only, and must not wait for torch
    from torch import Tensor

FORMAT = 1
FILE = adapters.shipped_file(DEFAULT)
METADATA = "tandem"
_AGAIN = "Install Tandem again."
log = logging.getLogger(__name__)


class Facts(BaseModel):
    """The file's metadata. `end` is the token that ends an answer, `kept` a share by kind."""

    v: int
    base_sha256: str
    data_sha256: str
    template: str
    end: str
    licence: str
    kept: dict[str, float] = {}
    recipe: Any = None
    figures: Any = None


@dataclass(frozen=True)
class Shipped:
    """A difference whose header was read; `shapes` are those of its tensors by name."""

    file: Path
    facts: Facts
    shapes: Mapping[str, list[int]]

    @property
    def template(self) -> str:
        """The FIM template of a model with this difference."""
        return self.facts.template

    def load(self, base: Mapping[str, list[int]]) -> "Difference":
        """The tensors, for a base with these shapes by name.

        Raises ModelError if the file is damaged or does not fit that base.
        """
        grouped: dict[str, dict[str, list[int]]] = {}
        for name, shape in self.shapes.items():
            target, _, part = name.rpartition(".")
            grouped.setdefault(target, {})[part] = shape
        for target, parts in grouped.items():
            if target not in base or not _fits(parts, base[target]):
                raise ModelError(f"{self.file} does not fit the model: {target}.", _AGAIN)
        with _readable(self.file):
            if sha256_of_data(self.file.read_bytes()) != self.facts.data_sha256:
                raise ModelError(f"{self.file} is damaged: its bytes have changed.", _AGAIN)
            with safe_open(str(self.file), framework="pt") as opened:
                tensors = {name: opened.get_tensor(name) for name in self.shapes}
        return Difference(tensors)


class Difference:
    """A loaded difference."""

    def __init__(self, tensors: Mapping[str, "Tensor"]) -> None:
        self._tensors = tensors

    def merged(self, name: str, tensor: "Tensor") -> "Tensor":
        """The base's tensor of that name with its difference, in float32; else as it is."""
        parts = self._tensors
        if (added := parts.get(f"{name}.add")) is not None:
            return tensor.float() + added.float()
        if (rows := parts.get(f"{name}.rows")) is not None:
            return tensor.float().index_add(0, parts[f"{name}.ids"].long(), rows.float())
        if (scales := parts.get(f"{name}.scales")) is None:
            return tensor
        left, right = parts[f"{name}.left"].float(), parts[f"{name}.right"].float()
        difference = left.T @ (right * scales[:, None])
        if (columns := parts.get(f"{name}.columns")) is not None:
            difference /= columns.float()
        return tensor.float() + difference


def read(file: Path) -> Shipped:
    """A difference's header. Raises ModelError if the file is missing, damaged or of another
    format."""
    with _readable(file):
        header = families.safetensors_header(file)
        try:
            facts = Facts.model_validate(json.loads(header.pop("__metadata__")[METADATA]))
        except (KeyError, TypeError, ValueError, ValidationError):
            raise ModelError(f"{file} is no difference that Tandem made.", _AGAIN) from None
    if facts.v != FORMAT or facts.template not in templates():
        raise ModelError(f"{file} was made for another version of Tandem.", _AGAIN)
    shapes = {name: entry["shape"] for name, entry in header.items()}
    return Shipped(file, facts, shapes)


def of(model: InstalledModel, file: Path | None = None) -> Shipped | None:
    """The difference to merge into an installed model: ours for the default model, else None.

    Also None for a base with another hash than the difference was made for. Raises ModelError
    if the file is damaged.
    """
    file = file or FILE
    if model.name != DEFAULT or not file.exists():
        return None
    found = read(file)
    weights = model.manifest.files.get(families.WEIGHTS)
    digest = weights.sha256 if weights else ""  # not taken of a folder outside the store
    if digest and digest != found.facts.base_sha256:
        log.warning("%s was made for another base than %s", file, model.folder)
    return found if digest == found.facts.base_sha256 else None


def stamp() -> tuple[int, int] | None:
    """Another one when the shipped file is another: engines that run have the old one merged."""
    try:
        status = FILE.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def template_of(model: InstalledModel) -> str:
    """The FIM template that a model is served with: its difference's, else its own."""
    difference = of(model)
    return difference.template if difference else model.manifest.template


def sha256_of_data(content: bytes) -> str:
    """The hash of a safetensors file without its header, in which it stands."""
    return hashlib.sha256(content[8 + int.from_bytes(content[:8], "little") :]).hexdigest()


def _fits(parts: Mapping[str, list[int]], base: list[int]) -> bool:
    match sorted(parts):
        case ["add"]:
            return parts["add"] == base
        case ["ids", "rows"]:
            return parts["rows"] == [*parts["ids"], *base[1:]]
        case ["left", "right", "scales"] | ["columns", "left", "right", "scales"]:
            sides = [[*parts["scales"], length] for length in base]
            columns = parts.get("columns", base[1:])
            return [parts["left"], parts["right"]] == sides and columns == base[1:]
    return False


@contextlib.contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError, UnicodeError) as error:
        raise ModelError(f"{file} cannot be read: {error}.", _AGAIN) from error
