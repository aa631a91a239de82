"""A console block: commands after `$ `, lines joined by backslashes, each with what it prints."""

from __future__ import annotations

import dataclasses
import re
import shlex

PROMPT = "$ "
RETRY = re.compile(r"\s#\s*retry\s*$")
# Programs that change nothing, whatever their arguments.
READERS = frozenset(
    """cat column cut df dig echo env free getent grep head host hostname id jq journalctl ls printenv printf
    ps readlink sed sha256sum sort ss stat tail test tr uniq wc whoami""".split()  # noqa: SIM905
)
# Programs that change nothing when their first words are these.
READING_WORDS = {
    "millrace": ("status", "logs", "predict", "env"),
    "systemctl": ("status", "show", "is-active", "is-enabled", "is-failed", "list-units", "cat"),
    "openssl": ("x509", "s_client", "verify"),
    "nft": ("list",),
    "named-checkconf": ("",),
    "promtool": ("check", "query"),
}
CURL_WRITES = re.compile(r"^(-X|--request|-T|--upload-file|-o|-O|--output|--remote-name)")
CURL_READING_POST = re.compile(r"/(infer|repository/index)$")


class ConsoleError(ValueError):
    """A block that is no console session; the text says why."""


@dataclasses.dataclass(frozen=True)
class Command:
    """One command: its text as the shell gets it, what the page shows, where both stand in the block.

    `line` is the number of its first line in the block from 0; its output is `output_lines`.
    """

    text: str
    output: str
    line: int
    output_lines: range

    @property
    def retry(self) -> bool:
        """Whether it is tried again until the output fits: only commands that read may ask for it."""
        return bool(RETRY.search(self.text))


def commands(text: str) -> list[Command]:
    """The commands of a block. Raises ConsoleError."""
    lines = text.splitlines()
    found: list[Command] = []
    if lines and not lines[0].startswith(PROMPT):
        raise ConsoleError(f"a console block begins with `{PROMPT}` and a command, not with {lines[0]!r}")
    at = 0
    while at < len(lines):
        start, words = at, [lines[at].removeprefix(PROMPT)]
        at += 1
        while at < len(lines) and words[-1].endswith("\\"):
            words.append(lines[at])
            at += 1
        first = at
        while at < len(lines) and not lines[at].startswith(PROMPT):
            at += 1
        shown = "".join(f"{line}\n" for line in lines[first:at])
        command = Command("\n".join(words), shown, start, range(first, at))
        if command.retry and (why := writes(RETRY.sub("", command.text))):
            raise ConsoleError(f"`# retry` stands only on commands that read, and {why}")
        found.append(command)
    return found


def writes(line: str) -> str | None:
    """Why a command line may change something, None when it only reads."""
    words = shlex.split(line, comments=True, posix=True)
    for simple in _simple(line):
        if why := _writes_simple(simple):
            return why
    return None if words else "an empty command does nothing"


def _simple(line: str) -> list[list[str]]:
    """The simple commands of a line, apart from what connects them."""
    lexer = shlex.shlex(line.replace("\\\n", " "), posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    parts: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("|&;()"):
            parts.append([])
        else:
            parts[-1].append(word)
    return [part for part in parts if part]


def _writes_simple(words: list[str]) -> str | None:
    while words and re.match(r"\w+=", words[0]):
        words = words[1:]
    if not words:
        return None
    if any(set(word) <= set("<>") and ">" in word for word in words):
        return f"`{' '.join(words)}` writes into a file"
    name, rest = words[0].rsplit("/", 1)[-1], words[1:]
    plain = [word for word in rest if not word.startswith("-")]
    if name == "millrace" and plain[:1] == ["ssh"]:
        return writes(" ".join(plain[2:])) if len(plain) > 2 else "a login is no reading command"
    if name == "sed" and any(word.startswith(("-i", "--in-place")) for word in rest):
        return "`sed -i` writes"
    if name == "curl":
        # With -G the data becomes a part of the address.
        gets = any(word in ("-G", "--get") for word in rest)
        posts = not gets and any(re.match(r"(-d|--data|--json|-F)", word) for word in rest)
        asks = any(CURL_READING_POST.search(word) for word in plain)
        changed = [word for word in rest if CURL_WRITES.match(word)]
        return None if asks or not (posts or changed) else f"`{' '.join(words)}` may change something"
    if name in READERS or (name in READING_WORDS and (plain[:1] or [""])[0] in READING_WORDS[name]):
        return None
    return f"nothing says that `{name} {(plain[:1] or [''])[0]}`".rstrip("` ") + "` only reads"
