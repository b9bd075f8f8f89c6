"""Words and pictures of the command line."""

import pytest

from palaestra.cli.text import clean, curve, seconds


@pytest.mark.parametrize(
    ("value_s", "words"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (59.4, "59 s"),
        (60.0, "1 min 00 s"),
        (3599.0, "59 min 59 s"),
        (7260.0, "2 h 01 min"),
    ],
)
def test_durations_read_naturally(value_s: float, words: str) -> None:
    assert seconds(value_s) == words


def test_a_curve_rises_where_its_numbers_do() -> None:
    assert curve([0.0, 1.0, 2.0, 7.0]) == "▁▂▃█"
    assert curve([3.0, 3.0]) == "▁▁"
    assert curve([]) == ""


def test_a_long_curve_is_averaged_to_its_width() -> None:
    drawn = curve([float(value) for value in range(1000)], width=8)

    assert drawn == "▁▂▃▄▅▆▇█"


def test_control_characters_are_replaced_and_letters_kept() -> None:
    assert clean("größe\t機 \x1b[2J\x07\x9b\x7f") == "größe\t機 \ufffd[2J\ufffd\ufffd\ufffd"
