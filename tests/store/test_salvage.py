"""What can be read of a damaged file is got back."""

import random

import pytest
from finished_spans import Spans

from otel_llm.store.batch import Batches
from otel_llm.store.connection import Connection
from otel_llm.store.errors import NotFoundError, StoreError
from otel_llm.store.query import Filter, Reader
from otel_llm.store.salvage import salvage

PAGE = 4096
ROWS = 1500


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The bytes of a store."""
    path, spans, batches = tmp_path_factory.mktemp("sound") / "sound.db", Spans(), Batches()
    connection = Connection(path)
    for _ in range(5):
        made = [spans.call(response_id="x" * 100, output_tokens=7) for _ in range(ROWS // 5)]
        batches.write(connection.sqlite, [(0, span) for span in made])
    connection.checkpoint(limit=0)
    connection.close()
    return path.read_bytes()


def saved(tmp_path, content):
    damaged = tmp_path / "x.db.corrupt-1"
    damaged.write_bytes(content)
    return salvage(damaged, tmp_path / "x.db").new


def without(content, pages):
    spoilt = bytearray(content)
    for page in pages:
        spoilt[(page - 1) * PAGE : page * PAGE] = b"\xff" * PAGE
    return bytes(spoilt)


def test_of_a_sound_file_everything(tmp_path, sound):
    assert saved(tmp_path, sound) == ROWS
    with Reader(tmp_path / "x.db") as reader:
        group = reader.summary(Filter())["groups"][0]
    assert (group["calls"], group["output_tokens"]) == (ROWS, 7 * ROWS)


@pytest.mark.parametrize("pages", [[1], [1, 2]])
def test_without_its_first_pages_everything(tmp_path, sound, pages):
    assert saved(tmp_path, without(sound, pages)) == ROWS


def test_of_a_file_cut_in_two_the_first_half(tmp_path, sound):
    assert saved(tmp_path, sound[: len(sound) // 2 // PAGE * PAGE]) > ROWS / 4


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_leaf_costs_its_own_rows(tmp_path, sound, seed):
    leaves = [page for page in range(1, len(sound) // PAGE + 1) if b"x" * 100 in sound[(page - 1) * PAGE : page * PAGE]]
    chosen = random.Random(seed).sample(leaves, 3)  # noqa: S311 - reproducible
    assert saved(tmp_path, without(sound, chosen)) >= ROWS - 3 * 25


def test_without_the_tables_of_owners_the_calls_are_still_calls(tmp_path, sound):
    (page,) = [n + 1 for n in range(len(sound) // PAGE) if b'"service.name":"app"' in sound[n * PAGE : (n + 1) * PAGE]]
    assert saved(tmp_path, without(sound, [page])) == ROWS
    with Reader(tmp_path / "x.db") as reader:
        (call,) = reader.calls(Filter(limit=1))
    assert (call.resource, call.attributes["gen_ai.request.model"]) == ({}, "gpt-x")


def test_of_nothing_nothing_and_a_word(tmp_path):
    with pytest.raises(StoreError, match="a span that can be read"):
        saved(tmp_path, b"\xff" * 10 * PAGE)
    with pytest.raises(NotFoundError):
        salvage(tmp_path / "none", tmp_path / "y.db")
    assert not (tmp_path / "y.db").exists()
