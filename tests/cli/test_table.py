"""A table fits its terminal."""

import io

from rich.console import Console

from otel_llm.cli.table import Column, print_table

COLUMNS = (
    Column(title="MODEL", shrink=8),
    Column(title="PROVIDER", rank=2),
    Column(title="RETRY", rank=1, right=True),
    Column(title="E2E", right=True),
)
ROWS = [["a-model-with-a-name", "openai", "1", "311ms"], ["short", "vllm", "–", "1.64s"]]  # noqa: RUF001


def printed(width, rows=ROWS, columns=COLUMNS):
    file = io.StringIO()
    print_table(Console(file=file, width=width, markup=False), columns, rows)
    return file.getvalue().splitlines()


def test_with_room_every_column_stands_in_its_width():
    assert printed(60) == [
        "MODEL                PROVIDER  RETRY    E2E",
        "a-model-with-a-name  openai        1  311ms",
        "short                vllm          –  1.64s",  # noqa: RUF001
    ]


def test_a_column_that_may_be_cut_is_cut_before_others_go():
    assert printed(35)[1] == "a-model-wi…  openai        1  311ms"


def test_the_column_that_matters_least_goes_first_and_is_named():
    lines = printed(25)
    assert lines[1] == "a-model-wi…      1  311ms"
    assert lines[3].startswith("no room for PROVIDER")


def test_no_line_is_longer_than_the_terminal():
    assert max(map(len, printed(22)[:3])) <= 22


def test_a_column_in_which_nothing_is_said_is_left_out_on_a_terminal():
    assert "RETRY" not in printed(60, rows=[["m", "openai", "–", "1s"]])[0]  # noqa: RUF001


def test_a_pipe_gets_every_column_uncut():
    assert printed(100_000, rows=[["m" * 300, "openai", "–", "1s"]])[1] == f"{'m' * 300}  openai        –   1s"  # noqa: RUF001


def test_wide_characters_keep_the_columns_straight():
    assert printed(60, rows=[["模型", "openai", "1", "1s"]])[1] == "模型   openai        1   1s"
