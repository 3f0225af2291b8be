"""House rules on the product's code. Every failure names the place and says what to do."""

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator

from tests.house.product import PACKAGES, ROOT, SourceFile, source_files

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 50
LIMITS_FILE = "cellmind_agent/protocol/limits.py"
LIMIT_NAME = re.compile(r"_?(MAX_[A-Z0-9_]+|[A-Z0-9_]+_(SECONDS|MILLISECONDS|BYTES))")
SHORT_METHOD_LINES = 8  # the name of so short a method can say everything

# How often `Any` stands in each room. It belongs only where bytes become values (JSON, msgpack, a foreign library).
# A number may only go down: when it does, write the smaller one here.
ANY_CEILINGS = {
    "cellmind_agent/network": 4,
    "cellmind_agent/protocol": 3,
    "cellmind_agent/runs": 3,
    "cellmind_agent/storage": 1,
    "cellmind_agent/trust": 5,
    "cellmind_ctl": 2,
    "model": 12,
    "model/line": 25,
    "model/meeting": 4,
    "tokenizer/corpus": 7,
    "tokenizer/sharding": 2,
    "tokenizer/vocabulary": 1,
}


def test_no_product_file_is_too_long() -> None:
    found = []
    for file in source_files():
        lines = len(file.text.splitlines())
        if lines > MAX_FILE_LINES:
            found.append(f"{file.path} has {lines} lines, more than {MAX_FILE_LINES}: split it by reason to change")
    assert not found, _list(found)


def test_no_product_function_is_too_long() -> None:
    found = []
    for file in source_files():
        for function in file.functions():
            lines = _lines(function)
            if lines > MAX_FUNCTION_LINES:
                place = f"{file.path}:{function.lineno} {function.name}"
                found.append(f"{place} has {lines} lines, more than {MAX_FUNCTION_LINES}: name its steps as functions")
    assert not found, _list(found)


def test_limits_stand_in_one_file() -> None:
    found = []
    for file in source_files():
        if file.path.startswith("cellmind_agent/") and file.path != LIMITS_FILE:
            for name, line in _number_constants(file.tree):
                if LIMIT_NAME.fullmatch(name):
                    found.append(f"{file.path}:{line} {name} is a limit: move it to {LIMITS_FILE}, with its reason")
    assert not found, _list(found)


def test_every_module_is_in_a_layer() -> None:
    containers, layers = _layers()
    found = []
    for file in source_files():
        parents = [parent for parent in containers if file.module.startswith(f"{parent}.")]
        children = {f"{parent}.{file.module.removeprefix(parent + '.').split('.')[0]}" for parent in parents}
        if file.module not in PACKAGES and not children & layers:
            found.append(f"{file.path} is in no layer: add it to the layers of its package in pyproject.toml")
    assert not found, _list(found)


def test_layers_of_packages_are_exhaustive() -> None:
    found = [
        f"the contract {contract['name']!r} in pyproject.toml needs `exhaustive = true`, or a new file escapes it"
        for contract in _layer_contracts()
        if "containers" in contract and not contract.get("exhaustive")
    ]
    assert not found, _list(found)


def test_text_names_its_encoding() -> None:
    """Without a name it is that of the locale: `data prepare` would read a file on one device and not on another.

    ruff's PLW1514 knows neither `text=True` of subprocess nor a path whose type it cannot infer.
    """
    found = [
        f'{file.path}:{call.lineno} {ast.unparse(call)[:60]} opens text in the locale\'s encoding: add encoding="utf-8"'
        for file in source_files()
        for call in ast.walk(file.tree)
        if isinstance(call, ast.Call) and _is_text(call) and not any(one.arg == "encoding" for one in call.keywords)
    ]
    assert not found, _list(found)


def test_any_becomes_rarer() -> None:
    counts: Counter[str] = Counter()
    for file in source_files():
        counts[file.room] += sum(isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(file.tree))
    counted = {room: count for room, count in sorted(counts.items()) if count}
    rooms = sorted(counted.keys() | ANY_CEILINGS.keys())
    more = [room for room in rooms if counted.get(room, 0) > ANY_CEILINGS.get(room, 0)]
    fewer = [room for room in rooms if counted.get(room, 0) < ANY_CEILINGS.get(room, 0)]
    report = [
        f"{room} has {counted[room]} `Any`, more than {ANY_CEILINGS.get(room, 0)}: use a real type" for room in more
    ]
    report += [f"{room} has only {counted.get(room, 0)} `Any` now: lower its number in ANY_CEILINGS" for room in fewer]
    assert not report, f"{_list(report)}\nThe counts now:\n{counted}"


def test_public_definitions_have_docstrings() -> None:
    found = []
    for file in source_files():
        for name, node in file.public_definitions():
            if ast.get_docstring(node) is None and not _explains_itself(name, node):
                found.append(f"{file.path}:{node.lineno} {name} has no docstring: say what it is or returns and raises")
    assert not found, _list(found)


def test_modules_have_docstrings() -> None:
    found = [
        f"{file.path} has no docstring: say what the file owns and what it must not know"
        for file in source_files()
        if ast.get_docstring(file.tree) is None
    ]
    assert not found, _list(found)


def _list(found: list[str]) -> str:
    return "\n" + "\n".join(found)


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _number_constants(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Name and line of each constant, of the module or of a class, whose value contains a number."""
    for node in ast.walk(tree):
        body = node.body if isinstance(node, ast.Module | ast.ClassDef) else []
        for statement in body:
            if isinstance(statement, ast.Assign):
                targets, value = statement.targets, statement.value
            elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
                targets, value = [statement.target], statement.value
            else:
                continue
            parts = list(ast.walk(value))
            is_arithmetic = not any(isinstance(part, ast.Call | ast.Dict | ast.List | ast.Tuple) for part in parts)
            has_number = any(isinstance(part, ast.Constant) and isinstance(part.value, int | float) for part in parts)
            for target in targets:
                if isinstance(target, ast.Name) and is_arithmetic and has_number:
                    yield target.id, statement.lineno


def _layer_contracts() -> list[dict[str, object]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return [contract for contract in settings["tool"]["importlinter"]["contracts"] if contract["type"] == "layers"]


def _layers() -> tuple[set[str], set[str]]:
    """The packages whose insides have layers, and all layers as full module names."""
    containers: set[str] = set()
    layers: set[str] = set()
    for contract in _layer_contracts():
        parents = contract.get("containers")
        rows = contract["layers"]
        assert isinstance(rows, list)
        names = [name.strip().strip("()") for row in rows for name in re.split(r"[|:]", row)]
        for parent in parents if isinstance(parents, list) else []:
            containers.add(parent)
            layers |= {f"{parent}.{name}" for name in names}
        if not parents:
            layers |= {name for name in names if "." in name}
            containers |= {name.rpartition(".")[0] for name in names if "." in name}
    return containers, layers


def _explains_itself(name: str, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """A value class of named fields, a short method, `handlers`, and `main`, whose module says what it does."""
    if isinstance(node, ast.ClassDef):
        return bool(node.decorator_list) and all(isinstance(part, ast.AnnAssign | ast.Pass) for part in node.body)
    return name.rpartition(".")[2] in ("main", "handlers") or ("." in name and _lines(node) <= SHORT_METHOD_LINES)


def test_the_rules_find_what_they_look_for() -> None:
    file = SourceFile("cellmind_agent/x.py", "MAX_THINGS = 3\n_WAIT_SECONDS: float = 2 * 3.0\nNAME = 'x'\nN = 3\n")
    assert [name for name, _ in _number_constants(file.tree) if LIMIT_NAME.fullmatch(name)] == [
        "MAX_THINGS",
        "_WAIT_SECONDS",
    ]
    file = SourceFile(
        "model/x.py", "@value\nclass A:\n    b: int\nclass C:\n    def d(self): ...\ndef e(): ...\ndef _f(): ...\n"
    )
    assert [name for name, node in file.public_definitions() if not _explains_itself(name, node)] == ["C", "e"]


def _is_text(call: ast.Call) -> bool:
    """Whether this call opens a file, or the output of a process, as text."""
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    options = {one.arg: one.value for one in call.keywords}
    if name in ("read_text", "write_text", "TextIOWrapper"):
        return True
    if getattr(call.func, "id", "") == "open" or name in ("fdopen", "NamedTemporaryFile", "TemporaryFile"):
        by_default = ast.Constant("r" if "open" in name else "w+b")
        mode = options.get("mode", call.args[1] if len(call.args) > 1 else by_default)
        return not (isinstance(mode, ast.Constant) and "b" in str(mode.value))
    return any(isinstance(options.get(word), ast.Constant) for word in ("text", "universal_newlines")) and name in (
        "run",
        "Popen",
        "check_output",
    )
