"""Keywords and plain types are read off the source, without importing what it belongs to."""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from sciml.checks import accepts, check
from sciml.contracts import UserError
from sciml.signatures import signature

SOURCE = '''
"""A module that must not be imported."""
raise RuntimeError("imported")

from dataclasses import dataclass, field
from typing import ClassVar, Literal
from .other import Elsewhere as Renamed

def function(a: int, /, b: float = 1.0, *, c: str | None = None) -> None: ...

def open_ended(a, **rest): ...

@unheard_of
def decorated(a): ...

class Plain:
    def __init__(self, width: int, kind: Literal["x", "y"] = "x", shape: tuple[int, int] = (1, 2)):
        ...

    @classmethod
    def of(cls, size: float): ...

class Child(Plain):
    """Inherits the constructor."""

@dataclass(frozen=True)
class Data:
    points: dict[str, int]
    every: int | None = 1
    kind: ClassVar[str] = "k"
    cache: list = field(init=False)
    names: list[str] = field(default_factory=list)

@dataclass
class More(Data):
    extra: float = 0.0

VALUE = function
'''


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "unimported"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "raise RuntimeError('imported')\nfrom .inner import Plain\n"
    )
    (folder / "inner.py").write_text(textwrap.dedent(SOURCE))
    (folder / "other.py").write_text("class Elsewhere:\n    def __init__(self, z: bool): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "keywords"),
    [
        ("inner.function", ["a", "b", "c"]),
        ("inner.Plain", ["width", "kind", "shape"]),
        ("inner.Plain.of", ["size"]),
        ("inner.Child", ["width", "kind", "shape"]),
        ("inner.Data", ["points", "every", "names"]),
        ("inner.More", ["points", "every", "names", "extra"]),
        ("inner.Renamed", ["z"]),
        ("Plain", ["width", "kind", "shape"]),
    ],
)
def test_keywords(name: str, keywords: list[str]) -> None:
    found = signature(f"unimported.{name}")
    assert found is not None
    assert list(found.parameters) == keywords
    assert not found.extra


def test_any_keyword_where_the_rest_is_taken() -> None:
    found = signature("unimported.inner.open_ended")
    assert found is not None
    assert found.extra


@pytest.mark.parametrize("name", ["inner.decorated", "inner.VALUE", "inner.absent", "math.floor"])
def test_what_the_source_does_not_tell_passes(name: str) -> None:
    assert signature(f"unimported.{name}") is None
    assert signature("math.floor") is None


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nowhere.at.all", "there is no package 'nowhere'"),
        ("sciml.balance.fixed.Fixd", "no 'Fixd' in sciml.balance.fixed; did you mean 'Fixed'?"),
        ("sciml.balanec.fixed.Fixed", "no 'balanec' in sciml; did you mean 'balance'?"),
    ],
)
def test_a_name_that_is_not_there_is_refused(target: str, said: str) -> None:
    with pytest.raises(UserError, match="expected an import path") as refusal:
        signature(target)
    assert said in str(refusal.value)


def test_torch_is_read_but_not_imported() -> None:
    code = (
        "import sys; from sciml.signatures import signature; "
        "print('lr' in signature('torch.optim.Adam').parameters, 'torch' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "False"], done.stderr


def node(name: str, **values: Any) -> dict[str, Any]:
    return {"part": {"_target_": f"unimported.inner.{name}", **values}}


@pytest.mark.parametrize(
    "config",
    [
        node("Plain", width=3, kind="y", shape=[1, 2]),
        node("Plain", width={"_target_": "unimported.inner.open_ended", "a": 1}),
        node("Plain", _partial_=True),
        node("Plain", _args_=[3]),
        node("Data", points={"left": 3}, every=None, names=["a"]),
        node("function", a=1, b=2, c=None),
        node("open_ended", a=1, anything=2),
    ],
)
def test_sound_nodes_pass(config: dict[str, Any]) -> None:
    check(config)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (node("Plain", widdth=3), "part.widdth: expected a keyword .* did you mean 'width'?"),
        (node("Plain", width="abc"), r"part.width: expected int, got 'abc' \(str\)"),
        (node("Plain", width=True), "part.width: expected int, got True"),
        (node("Plain", width=100.0), "expected int, got 100.0 .*; set part.width=100$"),
        (node("Plain", width="???"), "part.width: expected a value, got none"),
        (node("Plain", kind="x"), "part.width: .* needs it, the configuration lacks it"),
        (node("Plain", width=1, kind="z"), "kind: expected one of x, y, got 'z'"),
        (node("Plain", width=1, shape=[1, 2, 3]), r"expected tuple\[int, int\]"),
        (node("Data", points={"left": "many"}), "part.points.left: expected int, got 'many'"),
        (node("Data", points={}, every=0.5), r"part.every: expected int \| None, got 0.5"),
        (node("Data", points={}, cache=[]), "part.cache: expected a keyword"),
        ({"a": [node("Plain", width="x")]}, "a.0.part.width: expected int"),
        ({"part": {"_target_": 3}}, "part._target_: expected an import path, got 3"),
    ],
)
def test_mistakes_are_named_with_their_key(config: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        check(config)


def test_a_reference_is_named_by_the_key_that_can_be_set() -> None:
    raw = {"size": "${base.size}", "base": {"size": "big"}, **node("Plain", width="${size}")}
    with pytest.raises(UserError, match=r"^base\.size: expected int, got 'big'"):
        check({"size": "big", "base": {"size": "big"}, **node("Plain", width="big")}, raw)


@pytest.mark.parametrize(
    ("annotation", "value", "sound"),
    [
        ("int", 1, True),
        ("float", 1, True),
        ("float", True, False),
        ("int", "1", False),
        ("Optional[int]", None, True),
        ("Union[int, str]", 1.5, False),
        ("'int | None'", None, True),
        ("list[float]", [1, 2.5], True),
        ("list[float]", "abc", False),
        ("tuple[int, ...]", [1, 2, 3], True),
        ("Sequence[str]", ["a", 1], False),
        ("Mapping[str, float]", {"a": "b"}, False),
        ("Path", "a/b", True),
        ("Callable[[int], float]", "anything", False),
        ("float | Tensor", "anything", False),
        ("Problem", "anything", True),
        ('Float[Tensor, "n d"]', [[1.0]], True),
    ],
)
def test_plain_types(annotation: str, value: object, sound: bool) -> None:
    import ast

    assert accepts(ast.parse(annotation, mode="eval").body, value) is sound
