"""Selects the files to download from a repository without pinned files.

modules.json and config.json are read first, so that an unsupported model is refused before large
files are downloaded.
"""

from collections.abc import Mapping

from engine.catalog import hub
from engine.catalog.identity import check_kind
from engine.catalog.models import Entry, FileFact
from engine.catalog.repository_files import files_read, module_folders
from engine.errors import ModelNotFound


def select(wanted: Entry, seconds: float) -> tuple[str, Mapping[str, FileFact]]:
    """The commit hash of `wanted.revision` (None: the newest), and the files to download.

    Raises hub.Unreachable, also if the hub does not respond within `seconds`; CheckpointError if
    the model is not a BERT, or has other sizes than in the registry; ModelNotFound if config.json
    or safetensors weights are missing.
    """
    commit, listed = hub.listing(wanted, seconds)
    folders = [""]
    if "modules.json" in listed:
        modules = hub.read_json(wanted, commit, "modules.json", listed["modules.json"].size)
        folders = module_folders(modules, f"modules.json of {wanted.hub_id}")
    paths = files_read(listed, folders)
    config = f"{folders[0]}/config.json".removeprefix("/")
    if config not in paths:
        raise ModelNotFound(
            f"{wanted.hub_id} at {commit} has no {config}, so it is not a checkpoint that can be "
            "loaded. `bge models` lists some that can."
        )
    _refuse_pickles(wanted, commit, folders, listed)
    content = hub.read_json(wanted, commit, config, listed[config].size)
    check_kind(content, wanted, f"{config} of {wanted.hub_id}")
    return commit, {path: listed[path] for path in paths}


def _refuse_pickles(
    wanted: Entry, commit: str, folders: list[str], listed: Mapping[str, FileFact]
) -> None:
    """Raises ModelNotFound unless each module that has weights has them as safetensors."""
    for folder in folders:
        below = f"{folder}/" if folder else ""
        names = {path.removeprefix(below) for path in listed if path.startswith(below)}
        has = any("/" not in name and name.endswith(".safetensors") for name in names)
        if not has and (folder == folders[0] or "pytorch_model.bin" in names):
            raise ModelNotFound(
                f"{wanted.hub_id} at {commit} has no safetensors file"
                f"{f' in {folder}' if folder else ''}. Other formats are not read, because pickled "
                "weights can run code. Convert them to safetensors and load the folder."
            )
