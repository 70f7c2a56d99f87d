"""Clients for Node: one script makes all calls."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.serve.clients.called import NAMES, TEXTS, TOKEN, same

NODE_CLIENTS = {
    "cloudflare": "7.3.0",
    "openai": "6.49.0",
    "@huggingface/inference": "4.13.30",
    "ai": "7.0.173",
    "@ai-sdk/openai-compatible": "3.0.92",
}


@pytest.fixture(scope="module")
def node_modules() -> Path:
    """The clients for Node, installed once into the user's cache."""
    if not shutil.which("npm") and not os.environ.get("CI"):
        pytest.skip("Node's clients are tested where Node is")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "bge-engine" / "tests" / "node"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [f"{name}@{version}" for name, version in NODE_CLIENTS.items()]
    manifest = folder / "package.json"
    if not manifest.exists() or wanted != json.loads(manifest.read_text()).get("wanted"):
        manifest.write_text('{"type": "module"}')
        command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *wanted]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        installed = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**installed, "wanted": wanted}))
    shutil.copy(Path(__file__).with_name("node_clients.mjs"), folder)
    return folder


@pytest.fixture(scope="module")
def node(server, node_modules):
    """The output of the script: the results of all its calls."""
    command = ["node", "node_clients.mjs", server.url, TOKEN, json.dumps(TEXTS)]
    done = subprocess.run(command, cwd=node_modules, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_cloudflare_for_node(node, minilm_vectors):
    assert same(node["run"]["data"], minilm_vectors["mean"])
    assert same(node["cls"]["data"], minilm_vectors["cls"][:1])
    assert (node["bad"]["status"], node["bad"]["errors"][0]["code"]) == (400, 5006)
    assert (node["stranger"]["status"], node["stranger"]["errors"][0]["code"]) == (401, 10000)


def test_cloudflare_for_node_queues(node, minilm_vectors):
    by_reference = {each["external_reference"]: each for each in node["queued"]["responses"]}
    for i, expected in enumerate(minilm_vectors["mean"]):
        assert same(by_reference[f"r{i}"]["result"]["data"], expected[None])


def test_openai_for_node(node, minilm_vectors):
    for how in ("base64", "floats", "account"):
        found = [item["embedding"] for item in node[how]["data"]]
        assert same(found, minilm_vectors["mean"]), how
    assert (node["empty"]["status"], node["empty"]["code"]) == (400, "5006")
    assert node["empty"]["message"].startswith("400 '$.input' is invalid")
    assert node["listed"] == NAMES


def test_hugging_face_for_node(node, minilm_vectors):
    vectors = minilm_vectors["mean"]
    assert same(node["features"], vectors)
    assert np.allclose(node["similarities"], vectors @ vectors[0], atol=1e-6)


def test_vercels_ai_for_node(node, minilm_vectors):
    assert same(node["vercel"]["embeddings"], minilm_vectors["mean"])
