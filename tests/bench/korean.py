"""Real Korean text with a free licence: LibreOffice's help, from its Debian package (apt-get download, dpkg-deb)."""

import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

PACKAGE = "libreoffice-help-ko"
_SILENT = {"script", "style", "head"}
_BLOCKS = {"p", "h1", "h2", "h3", "h4", "li", "td", "th", "pre", "div"}


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in _SILENT
        if tag in _BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in _SILENT

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(data)


def help_texts(folder: Path) -> list[str]:
    """One text for each page with Korean in it. Raises RuntimeError if the package cannot be downloaded."""
    try:
        run = {"cwd": folder, "check": True, "capture_output": True}
        subprocess.run(["apt-get", "download", PACKAGE], **run)  # type: ignore[call-overload]
        (package,) = folder.glob(f"{PACKAGE}_*.deb")
        subprocess.run(["dpkg-deb", "-x", package.name, "help"], **run)  # type: ignore[call-overload]
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        raise RuntimeError(f"{PACKAGE} cannot be downloaded here") from error
    texts = []
    for path in sorted((folder / "help").rglob("*.html")):
        page = _Text()
        page.feed(path.read_text(encoding="utf-8", errors="replace"))
        text = re.sub(r"[ \t]*\n\s*", "\n", "".join(page.parts)).strip()
        if re.search("[가-힣]", text):
            texts.append(text)
    return texts
