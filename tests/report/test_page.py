"""One page that needs nothing but itself, and says the right numbers."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from oracles import run_folders

from sciml.report import page

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154"
    "789c6360606060000000050001a5f645400000000049454e44ae426082"
)


class Reader(HTMLParser):
    """Collects text, tags with attributes, and complains of tags left open."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.tags, self.open = "", [], []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    assert reader.open == []
    return reader


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "p.png"
    path.write_bytes(PIXEL)
    return path


def test_the_page_tells_result_published_value_history_and_origin(
    tmp_path: Path, picture: Path
) -> None:
    run = run_folders.helmholtz(tmp_path / "run")
    path = page.write(run, [(picture, "What is seen.")])
    assert path == run / "report.html"
    reader = read(path)
    assert "helmholtz_2d/m4" in reader.text
    assert "rel_l2/u = 0.01 (published: 2.80×10⁻³) after 4,400 steps and 213 CPU-sec" in reader.text
    for words in ("Figure 1. What is seen.", "9 of 221 rows", "5,551", "sciml run helmholtz_2d/m4"):
        assert words in reader.text
    assert "network: {width: 50, depth: 3}" in reader.text


def test_the_page_asks_no_network(tmp_path: Path, picture: Path) -> None:
    path = page.write(run_folders.helmholtz(tmp_path / "run"), [(picture, "")])
    reader = read(path)
    assert not {tag for tag, _ in reader.tags} & {"script", "link", "iframe", "object"}
    sources = [attrs["src"] for tag, attrs in reader.tags if tag == "img"]
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"https?://|@import|url\(", path.read_text(encoding="utf-8"))


def test_text_is_escaped(tmp_path: Path, picture: Path) -> None:
    run = run_folders.helmholtz(tmp_path / "run")
    evil = '<script>alert("&")</script>'
    (run / "config.yaml").write_text(
        f"case: '{evil}'\npublished: {{'{evil}': {{value: 1, source: '{evil}'}}}}\n"
    )
    (run / "metrics.json").write_text(json.dumps({evil: evil, f"rel_l2/{evil}": 0.1}))
    (run / "provenance.json").write_text(json.dumps({"command": evil}))
    (run / "history.csv").write_text('step,phase,loss/<b>\n1,"<i>",2\n')
    reader = read(page.write(run, [(picture, evil)]))
    assert not {tag for tag, _ in reader.tags} & {"script", "b>", "i"}
    assert reader.text.count(evil) >= 6


def test_a_published_source_has_its_column(tmp_path: Path) -> None:
    run = run_folders.helmholtz(tmp_path / "run")
    entry = {"rel_l2/u": {"value": 0.005, "source": "table 2, row M4"}}
    (run / "config.yaml").write_text(f"case: a\npublished: {json.dumps(entry)}\n")
    text = read(page.write(run, [])).text
    assert "table 2, row M4" in text
    assert "Figures" not in text


def test_an_almost_empty_run_still_has_a_page(tmp_path: Path) -> None:
    text = read(page.write(tmp_path, [])).text
    assert tmp_path.name in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (5551, "5,551"),
        (4400.0, "4,400"),
        (0.0123, "0.0123"),
        (2.8e-3, "2.80×10⁻³"),
        (212.84, "213"),
        (1234.56, "1,234.6"),
        (0.0, "0"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        ("adam", "adam"),
        (True, "True"),
    ],
)
def test_numbers_as_they_are_read(value: object, text: str) -> None:
    assert page.number(value) == text
