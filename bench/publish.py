"""Puts a run's tables and pictures into docs/performance.md, so that no figure there was ever copied by hand."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from bench.errors import SetupError
from bench.report import Report

PICTURES = "img"
"""The folder of pictures, beside the page."""


def publish(report: Report, pictures: Iterable[Path], page: Path) -> None:
    """Replaces what stands between a region's marks by a run.

    :param report: a run of pairs, or of experiments, which say themselves into which region each goes.
    :param pictures: files to copy beside the page.
    :param page: the Markdown file.
    :raises SetupError: when the page has no such marks.
    """
    target = page.parent / PICTURES
    copies = []
    for picture in pictures:
        target.mkdir(exist_ok=True)
        copies.append(Path(shutil.copy(picture, target / f"performance-{picture.name}")))
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise SetupError(f"--publish: {page} cannot be read: {error.strerror}") from error
    if report.results is not None:
        text = replaced(text, "figures", report.body([f"{PICTURES}/{copy.name}" for copy in copies], level=3))
    else:
        for region in dict.fromkeys(section.region for section in report.sections):
            sections = [section for section in report.sections if section.region == region]
            text = replaced(text, region, replace(report, sections=sections).body(level=3))
    page.write_text(text, encoding="utf-8")


def replaced(text: str, region: str, body: str) -> str:
    """A text with another body between the marks of a region.

    :param text: the whole page.
    :param region: the name in its marks.
    :param body: what is to stand between them.
    :raises SetupError: when there is not exactly one such region.
    """
    begin, end = f"<!-- bench {region}: begin -->", f"<!-- bench {region}: end -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    found = pattern.findall(text)
    if len(found) != 1:
        raise SetupError(f"--publish: the page has {len(found)} regions between {begin} and {end}, not one")
    return pattern.sub(lambda _: f"{begin}\n\n{body.strip()}\n\n{end}", text)
