"""Stages of one process, shown by another: written to a file as they go on, and read from there.

Workers of pytest-xdist have no terminal and no way to send anything but reports of tests.
"""

import json
import threading
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.report.progress import News, Progress, RunningStage, What

_BETWEEN_READS = 0.1


class NewsFile:
    """Owns a file of news, one JSON object a line; called with each."""

    def __init__(self, file: Path) -> None:
        """Write to this file, which is there from now on."""
        self._file = file
        file.touch()
        self._lock = threading.Lock()

    def __call__(self, news: News) -> None:
        """Write one down."""
        line = json.dumps(asdict(news)) + "\n"
        with self._lock, self._file.open("a", encoding="utf-8") as stream:
            stream.write(line)


class Following:
    """Owns the thread that shows, on a `Progress`, what the files of a folder say.

    The progress comes alive with the first news: nothing is drawn before there is something to show.
    """

    def __init__(self, progress: Progress, folder: Path, pattern: str) -> None:
        """Follow every file of the folder whose name fits; who wrote it stands for the pattern's asterisk."""
        self._progress = progress
        self._folder = folder
        self._before, _, self._after = pattern.partition("*")
        self._pattern = pattern
        self._read: dict[Path, int] = {}
        self._running: dict[tuple[Path, int], RunningStage] = {}
        self._alive = False
        self._quit = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="news", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._quit.set()
        self._thread.join()
        # Whoever ended without a word left these behind.
        for running in self._running.values():
            self._progress.end(running, "stopped")
        self._running.clear()
        if self._alive:
            self._progress.__exit__(kind, error, trace)

    def _follow(self) -> None:
        while not self._quit.wait(_BETWEEN_READS):
            self._catch_up()
        self._catch_up()

    def _catch_up(self) -> None:
        for file in sorted(self._folder.glob(self._pattern)):
            with file.open("rb") as stream:
                stream.seek(self._read.get(file, 0))
                # The last line may be half written.
                whole, end, _ = stream.read().rpartition(b"\n")
            self._read[file] = self._read.get(file, 0) + len(whole) + len(end)
            for line in whole.splitlines():
                self._show(file, News(**json.loads(line)))

    def _show(self, file: Path, news: News) -> None:
        if not self._alive:
            self._progress.__enter__()
            self._alive = True
        who = file.name.removeprefix(self._before).removesuffix(self._after)
        key = (file, news.stage)
        match What(news.what):
            case What.BEGUN:
                detail = f"{who}: {news.text}" if news.text else who
                self._running[key] = self._progress.begin(news.name, detail, news.at)
            case What.UPDATED:
                self._running[key].update(f"{who}: {news.text}")
            case What.ENDED:
                self._progress.end(self._running.pop(key), news.text, news.at)
            case What.NOTED:
                self._progress.note(f"{who}: {news.text}")
