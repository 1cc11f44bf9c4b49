"""Which folders an engine may load adapters from when somebody with its token says so."""

from pathlib import Path

from completion.engine.api import ApiError


def below(path: str, allowed: Path) -> Path:
    """The folder at `path`, with plain files alone in it, if it lies below `allowed`.

    Raises ApiError that does not tell what else is on this disk.
    """
    try:
        folder = Path(path).resolve(strict=True)
        inside = folder.is_relative_to(allowed.resolve(strict=True)) and folder.is_dir()
        if not inside or any(not f.is_file() or f.is_symlink() for f in folder.iterdir()):
            raise ValueError
    except (OSError, ValueError, RuntimeError):
        raise ApiError(
            404,
            "There is no folder there from which this engine may load an adapter. "
            "Its setting adapter_folder names one.",
            param="lora_path",
            code="adapter_not_found",
        ) from None
    return folder
