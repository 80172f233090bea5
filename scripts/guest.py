# SPDX-License-Identifier: GPL-2.0
"""A guest that runs test scripts one at a time, as they are given to it (qemu/init, qemu/run --ask).

The guest says "ready" on both serial lines when a script and the clearing up after it are over, so everything between two
of these lines is of one script. While it is ready its NVDIMMs belong to nobody, and are made blank for the next script.
"""
import os, re, signal, subprocess, time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
READY = re.compile(r"^# ready taint=(\d+) locks=(\S+)$", re.M)
BEGIN = re.compile(r"^# script begin \S+ limit=(\d+)$", re.M)
LOG_READY = "pfnfs-test: ready"
HUNG = "blocked for more than"                       # the kernel's own report of a task that waits for ever


class Line:
    """A file that grows; what came since the last take()."""

    def __init__(self, path):
        self.path, self.start = path, 0

    def text(self):
        try:
            with open(self.path, "rb") as file:
                file.seek(self.start)
                return file.read().decode(errors="replace").replace("\r", "")
        except FileNotFoundError:
            return ""

    def take(self):
        text = self.text()
        self.start = self.path.stat().st_size if self.path.exists() else 0
        return text


class Guest:
    def __init__(self, kernel, scripts, directory, options, grace):
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.grace, self.busy = directory, grace, None
        self.results, self.log = Line(directory / "results"), Line(directory / "console.log")
        fifo = directory / "ask"
        for stale in (fifo, self.results.path, self.log.path):
            stale.unlink(missing_ok=True)
        os.mkfifo(fifo)
        self.pipe = os.open(fifo, os.O_RDWR)        # also for reading: nobody's open has to wait then
        with open(directory / "run.log", "wb") as out:
            self.process = subprocess.Popen([TOP / "qemu/run", "--kernel", kernel, "--dir", directory, "--ask", fifo, *options,
                                             *scripts], stdout=out, stderr=subprocess.STDOUT)
        self.up = self.wait(self.ready, 1800)

    def ready(self):
        return READY.search(self.results.text()) and LOG_READY in self.log.text()

    def wait(self, condition, seconds=None):
        """Whether the condition came true before the guest went away."""
        end = seconds and time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None:
                return bool(condition())
            if end and time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def done(self, limit):
        """Whether the script's end came. The guest stops the script at its limit and clears up. If it does not come to
        that, it hangs, whatever its kernel goes on to say; a kernel that says so itself is not waited for so long."""
        end = time.monotonic() + limit + self.grace
        while not self.wait(lambda: READY.search(self.results.text()), min(5, limit + self.grace)):
            if HUNG in self.log.text():
                return self.wait(lambda: READY.search(self.results.text()), self.grace)
            if self.process.poll() is not None or time.monotonic() > end:
                return False
        return True

    def blank(self):
        """New NVDIMMs: holes in the images, which the guest's memory shows at once."""
        for image in self.directory.glob("nv*.img"):
            size = str(image.stat().st_size)
            subprocess.run(["fallocate", "-p", "-o", "0", "-l", size, image], check=True)

    def run(self, name):
        """Run one script: what it said, and what the kernel said."""
        if not self.up:
            return self.results.text(), self.log.text()
        self.results.take()
        if self.busy is not None:                    # the log of the boot counts for the first script
            self.log.take()
            self.blank()
        self.busy = name
        os.write(self.pipe, f"{name}\n".encode())
        begun = self.wait(lambda: BEGIN.search(self.results.text()), 300)
        limit = int(begun and BEGIN.search(self.results.text())[1])
        self.up = begun and self.done(limit)
        if self.up:
            self.wait(lambda: LOG_READY in self.log.text().partition(f"pfnfs-test: end {name}")[2], 60)
        return self.results.text(), self.log.text()

    def end(self):
        """The guest's exit status, 0 if it came to its end, and what it and its kernel said meanwhile."""
        self.results.take(), self.log.take()
        if self.process.poll() is None and self.up:
            os.write(self.pipe, b"end\n")
            try:
                self.process.wait(300)
            except subprocess.TimeoutExpired:
                pass
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
        os.close(self.pipe)
        return self.process.returncode, self.results.text(), self.log.text()

    def said(self):
        """What qemu/run and QEMU had to say."""
        return "".join((self.directory / f).read_text(errors="replace") for f in ("run.log", "qemu.log")
                       if (self.directory / f).exists())
