"""The measure of the prose itself: long paragraphs and empty sentences are found, short ones are not."""

from pathlib import Path

import nbformat
import prose
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def conclusion(text):
    shown = new_output("display_data", {"text/markdown": text})
    return new_notebook(cells=[new_code_cell("run.text(found)", outputs=[shown])])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_words_are_short(path):
    assert prose.complaints(nbformat.read(path, as_version=4)) == []


def test_sixty_words_and_five_numbers_are_enough():
    assert prose.complaints(conclusion(" ".join(["word"] * 60))) == []
    assert "61 words" in prose.complaints(conclusion(" ".join(["word"] * 61)))[0]
    assert prose.complaints(conclusion("1.5, 2, 3 %, 4 and 0.7 [0.6, 0.8] in Fig 4.8 and section 3.2.")) == []
    assert "6 numbers" in prose.complaints(conclusion("1, 2, 3, 4, 5 and 0.7 [0.6, 0.8]."))[0]
    assert prose.complaints(conclusion("- 1, 2, 3, 4\n- 5, 6, 7, 8")) == []  # two items
    cell = new_markdown_cell("**Parameters.** " + "word " * 80)
    assert prose.complaints(new_notebook(cells=[cell])) == []


@pytest.mark.parametrize(
    "wrong",
    [
        "The order stays: the AUC of 0.443 becomes 0.443 by temperature.",
        "McNemar exact p = 0.2 (3 images right in b only, 2 in a only)",
        "Single splits; the bar is the mean.",
        "Changed chromosomes are marked, a whole chromosome more or less is not.",
        "The mean AUC is nan.",
    ],
)
def test_each_kind_of_empty_sentence_is_found(wrong):
    assert len(prose.empty_sentences(conclusion(wrong))) == 1
    assert prose.empty_sentences(conclusion("The AUC of 0.443 becomes 0.452.")) == []
