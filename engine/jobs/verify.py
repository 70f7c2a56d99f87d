"""`bge job --verify OUTPUT`: compare each file of an output with the hash in its journal."""

from engine.errors import InputError
from engine.jobs.writing import manifest
from engine.jobs.writing.exchange import check_settled
from engine.jobs.writing.folders import Folders
from engine.jobs.writing.journal import count_in, damaged, recorded


def verify(output: str) -> list[str]:
    """Return a line for each thing that is damaged or missing, then one that says what was checked.

    InputError: not the output of a job. EngineError: the manifest or the journal is damaged.
    """
    folders = Folders.of(output)
    path = folders.job / "manifest.json"
    if not path.is_file():
        raise InputError(f"{output!r} is not the output of `bge job`: there is no {path}.")
    check_settled(folders)
    manifest.read(path)
    records = recorded(folders)
    bad = [path for record in records.values() for path in damaged(folders, record)]
    problems = [f"{path} is damaged or missing" for path in bad]
    summary = folders.job / "summary.json"
    finished = summary.is_file()
    if finished and (told := count_in(summary, "shards")) != len(records):
        journal = folders.job / "journal.jsonl"
        problems.append(f"{journal} names {len(records)} shards, summary.json {told}")
    files = sum(len(record.files) for record in records.values())
    size = sum(content.size for record in records.values() for content in record.files.values())
    state = "finished" if finished else "not finished"
    found = f"{len(problems):,} problems; rerun the command to repair" if problems else "all right"
    checked = f"{len(records):,} shards, {files:,} files, {size:,} bytes checked"
    return [*problems, f"{output}: {checked}: {found}; the job is {state}"]
