"""What to fetch of a repository of which nothing is pinned.

modules.json and config.json are read first, so that nothing large is fetched to be refused.
"""

from collections.abc import Mapping

from engine.catalog import hub
from engine.catalog.identity import check_kind
from engine.catalog.models import Entry, FileFact
from engine.catalog.repository_files import files_read, module_folders
from engine.errors import ModelNotFound


def select(wanted: Entry, seconds: float) -> tuple[str, Mapping[str, FileFact]]:
    """The commit that `wanted.revision` means (None: the newest), and its files to be fetched.

    Raises hub.Unreachable, also where it does not answer within `seconds`; CheckpointError for
    what is not a BERT, or not the one that the registry knows by that name; ModelNotFound where
    config.json is missing, or weights that are not pickled.
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
            "read. `bge models` lists some that can."
        )
    _refuse_pickles(wanted, commit, folders, listed)
    content = hub.read_json(wanted, commit, config, listed[config].size)
    check_kind(content, wanted, f"{config} of {wanted.hub_id}")
    return commit, {path: listed[path] for path in paths}


def _refuse_pickles(
    wanted: Entry, commit: str, folders: list[str], listed: Mapping[str, FileFact]
) -> None:
    """The transformer, and each further module that has weights, must have them as safetensors."""
    for folder in folders:
        below = f"{folder}/" if folder else ""
        names = {path.removeprefix(below) for path in listed if path.startswith(below)}
        has = any("/" not in name and name.endswith(".safetensors") for name in names)
        if not has and (folder == folders[0] or "pytorch_model.bin" in names):
            raise ModelNotFound(
                f"{wanted.hub_id} at {commit} has no safetensors file"
                f"{f' in {folder}' if folder else ''}. Other formats are not read: pickled "
                "weights can run code. Convert it to safetensors and load the folder."
            )
