"""The product's own source, for the rules that are checked on it."""

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("cellmind_agent", "cellmind_ctl", "model", "tokenizer")
DOCUMENTS = (
    "README.md",
    "ARCHITECTURE.md",
    "BENCHMARKS.md",
    "CONTRIBUTING.md",
    "PROTOCOL.md",
    "DECISIONS.md",
    "FAULTS.md",
)

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One product file. `path` is relative to the repository."""

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return _parse(self.text)

    @property
    def module(self) -> str:
        """The dotted name, such as `model.data`; a package is named after its folder."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def room(self) -> str:
        """The folder below the package that the file is in, or the package itself."""
        return "/".join(self.path.split("/")[:-1][:2])

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))

    def public_definitions(self) -> Iterator[tuple[str, Definition]]:
        """Functions and classes of the module, and the methods of those classes, that no underscore makes private."""
        for node in self.tree.body:
            if isinstance(node, Definition) and not node.name.startswith("_"):
                yield node.name, node
                for inner in node.body if isinstance(node, ast.ClassDef) else ():
                    if isinstance(inner, Definition) and not inner.name.startswith("_"):
                        yield f"{node.name}.{inner.name}", inner


@functools.cache
def _parse(text: str) -> ast.Module:
    return ast.parse(text)


@functools.cache
def source_files() -> tuple[SourceFile, ...]:
    """Every Python file of the product, sorted by path."""
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return tuple(SourceFile(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths)
