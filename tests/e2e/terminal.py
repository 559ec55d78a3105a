# SPDX-License-Identifier: BSD-2-Clause
"""A terminal to run a program in: a pty, and an emulator of the sequences that `top` uses. Any
other sequence is an error."""
import codecs
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios

from harness.checks import Failure, check, wait_until
from harness.process import Process

KEYS = {"up": "\033[A", "down": "\033[B", "page up": "\033[5~", "page down": "\033[6~",
        "home": "\033[H", "end": "\033[F", "ctrl-c": "\x03", "enter": "\r", "tab": "\t"}

SEQUENCE = re.compile(r"\033(?:\[([?\d;]*)([A-Za-z])|[^\[])")


class Screen:
    """The contents of the terminal."""

    def __init__(self, rows, columns):
        self.cursor_shown, self.alternate = True, False
        self.frames = 0  # how often it was drawn from its upper left corner
        self.faults = []
        self.colours = 0  # how many sequences set a colour
        self.pending = ""
        self.resize(rows, columns)

    def resize(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.clear()

    def clear(self):
        self.cells = [[" "] * self.columns for _ in range(self.rows)]
        self.row = self.column = 0

    def lines(self):
        return ["".join(row).rstrip() for row in self.cells]

    def text(self):
        return "\n".join(self.lines())

    def feed(self, text):
        text = self.pending + text
        self.pending = ""
        at = 0
        while at < len(text):
            if text[at] == "\033":
                match = SEQUENCE.match(text, at)
                if not match:
                    self.pending = text[at:]
                    return
                self.control(*match.groups())
                at = match.end()
            else:
                self.character(text[at])
                at += 1

    def character(self, c):
        if c == "\r":
            self.column = 0
        elif c == "\n":
            self.line_feed()
        else:
            if self.column == self.columns:
                self.column = 0
                self.line_feed()
                if self.alternate:
                    self.faults.append("a line was too long")
            self.cells[self.row][self.column] = c
            self.column += 1

    def line_feed(self):
        self.row += 1
        if self.row == self.rows:
            self.row -= 1
            self.cells = self.cells[1:] + [[" "] * self.columns]
            if self.alternate:
                self.faults.append("the screen scrolled")

    def control(self, argument, final):
        what = (argument, final)
        if what == ("", "H"):
            self.row = self.column = 0
            self.frames += 1
        elif what == ("", "K"):
            if self.column == self.columns:
                self.faults.append(f"erased the last column of line {self.row}")
            self.cells[self.row][self.column:] = [" "] * (self.columns - self.column)
        elif what == ("2", "J"):
            self.clear()
        elif what == ("", "J"):
            for row in range(self.row, self.rows):
                begin = self.column if row == self.row else 0
                self.cells[row][begin:] = [" "] * (self.columns - begin)
        elif final == "A":
            self.row = max(0, self.row - int(argument))
        elif what in (("?1049", "h"), ("?1049", "l")):
            self.alternate = final == "h"
            self.clear()
        elif what in (("?25", "h"), ("?25", "l")):
            self.cursor_shown = final == "h"
        elif final == "m":
            self.colours += argument.startswith("3")
        else:
            self.faults.append(f"unknown sequence {what}")


class Terminal(Process):
    """A program with its own controlling terminal."""

    def __init__(self, bed, *argv, rows=24, columns=80, utf8=True):  # pylint: disable=W0231
        bed.n_processes += 1
        self.name = f"terminal-{bed.n_processes}"
        self.argv = [str(arg) for arg in argv]
        self.screen = Screen(rows, columns)
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.master, self.slave = pty.openpty()
        os.set_blocking(self.master, False)
        self.set_size(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        env = dict(os.environ, TERM="xterm", LC_ALL="C.UTF-8" if utf8 else "C")

        def take_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        self.popen = subprocess.Popen(  # pylint: disable=W1509,R1732
            self.argv, stdin=self.slave, stdout=self.slave, stderr=self.slave, env=env,
            cwd=bed.dir, preexec_fn=take_terminal)
        self.pid = self.popen.pid
        bed.processes.append(self)

    def set_size(self, rows, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, rows, columns):
        self.read_screen()
        self.screen.resize(rows, columns)
        self.set_size(rows, columns)

    def read_screen(self):
        """Reads the output so far. Returns the screen."""
        try:
            while data := os.read(self.master, 65536):
                self.screen.feed(self.decoder.decode(data))
        except BlockingIOError:
            pass
        return self.screen

    def output(self):
        return self.read_screen().text() + "\n"

    def press(self, key):
        os.write(self.master, KEYS.get(key, key).encode())

    def wait_screen(self, condition, what, deadline=30):
        """Waits until @condition(screen) returns a true value, and returns that value."""
        try:
            return wait_until(lambda: condition(self.read_screen()) or not self.alive(), what,
                              deadline)
        except Failure as why:
            raise Failure(f"{why}; the screen is\n{self.output()}") from None

    def wait_text(self, text, deadline=30):
        self.wait_screen(lambda screen: text in screen.text(), f"the screen shows '{text}'",
                         deadline)
        check(text in self.screen.text(), f"'{text}' is not on\n{self.output()}")

    def wait(self, deadline=30):
        """Waits for its end while reading the screen, so that it can write. Returns the exit
        status."""
        wait_until(lambda: self.read_screen() and not self.alive(), f"{self.name} has ended",
                   deadline)
        self.read_screen()
        return self.popen.returncode
