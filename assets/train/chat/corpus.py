"""The text corpus as documents of one chat format.

A conversation is written as ``User: ...``, ``Assistant: ...`` turns (and ``System: ...`` first, where there is one), each
followed by an empty line; a plain text is taken as it is. Linea's own conversations begin with ``SYSTEM_LINE``; ``CHAT_TEMPLATE`` says
the same to programs that read the model.
"""

from __future__ import annotations

import json
import lzma
import random
import re
from collections.abc import Iterator
from pathlib import Path

from small_talk import SmallTalk

TRAINING_FILES = ("chat-000.jsonl.xz", "plain-000.jsonl.xz", "identity.jsonl", "prompts.jsonl")
HELDOUT_FILES = ("chat.heldout.jsonl.xz", "plain.heldout.jsonl.xz", "identity.heldout.jsonl.xz", "prompts.heldout.jsonl.xz")

NAMES = {"system": "System", "user": "User", "assistant": "Assistant"}
TURN_END = "\n\n"
ANSWER_PREFIX = "Assistant:"
STOP = "\n\n"

# What stands first in a conversation that has no system line of its own: it tells Linea's way of talking from that of the sources.
SYSTEM = "You are Linea."
SYSTEM_LINE = f"{NAMES['system']}: {SYSTEM}{TURN_END}"

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}{{ '" + SYSTEM_LINE.replace("\n", "\\n") + "' }}{% endif %}"
    "{% if message['role'] == 'system' %}{{ 'System: ' + message['content'] | trim + '\\n\\n' }}"
    "{% elif message['role'] == 'user' %}{{ 'User: ' + message['content'] | trim + '\\n\\n' }}"
    "{% else %}{{ 'Assistant: ' + message['content'] | trim + '\\n\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)

# How often a source's documents are drawn, relative to once an epoch.
WEIGHTS = {
    "identity": 4, "personality-chat": 2, "small-talk": 1.2, "chatterbot-corpus": 2, "self-instruct-seeds": 2,
    "own-talk": 0.35, "own-facts": 1, "own-story-chat": 0.4, "own-stories": 0.3,
    "wordnet": 0.3, "wordnet-chat": 0.4, "prompts": 0,
}  # fmt: skip
# Sources in which Linea speaks: they are learned under SYSTEM_LINE, and now and then without it.
OF_LINEA = {"identity", "small-talk", "own-talk", "own-facts", "own-story-chat", "wordnet-chat"}
# Shares that are learned a second time: in casual spelling, and with the first message said twice (see expand.read_twice).
CASUAL = {"identity": 1.0, "small-talk": 0.5, "own-facts": 0.2, "own-talk": 0.1}
TWICE = {"identity": 0.2, "small-talk": 0.05, "own-facts": 0.05}


def normalised(text: str) -> str:
    """Words alone, in small letters."""
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()


def read_rows(folder: Path, names: tuple[str, ...]) -> Iterator[dict]:
    for name in names:
        opener = lzma.open if name.endswith(".xz") else open
        with opener(folder / name, "rt", encoding="utf-8") as file:
            yield from map(json.loads, file)


def clean(text: str) -> str:
    """One line break at most, so that the empty line ends a turn and nothing else."""
    return re.sub(r"\n{2,}", "\n", text.replace("\r\n", "\n")).strip()


def conversation(messages: list[dict]) -> str:
    """The turns joined, without the end of the last one."""
    return TURN_END.join(f"{NAMES[m['role']]}: {clean(m['content'])}" for m in messages)


def open_question(messages: list[dict]) -> str:
    """The turns so far, under a system line, and the prefix at which the model goes on."""
    system_line = "" if messages[0]["role"] == "system" else SYSTEM_LINE
    return system_line + conversation(messages) + TURN_END + ANSWER_PREFIX


def document(row: dict) -> str:
    """A row as it is learned."""
    if "text" in row:
        return clean(row["text"])
    return conversation(row["messages"]) + TURN_END


def casual(row: dict, rng: random.Random) -> dict:
    """The same conversation as people type it: lower case, without the closing mark."""
    messages = []
    for message in row["messages"]:
        content = message["content"]
        if message["role"] == "user":
            content = content.lower() if rng.random() < 0.8 else content
            content = content.rstrip(".?!") if rng.random() < 0.8 else content
        messages.append({"role": message["role"], "content": content or message["content"]})
    return {**row, "messages": messages}


def said_twice(row: dict) -> dict:
    first, *rest = row["messages"]
    return {**row, "messages": [{**first, "content": f"{first['content']}\n{first['content']}"}, *rest]}


def training_rows(folder: Path, seed: int = 0) -> Iterator[dict]:
    """All rows of the training files, personality-chat also with Linea's answers, and some rows a second time in another form."""
    rng = random.Random(seed)
    small_talk = SmallTalk()
    for row in read_rows(folder, TRAINING_FILES):
        answered = small_talk.row(row, rng) if row["source"] == "personality-chat" else None
        for version in (row, answered) if answered is not None else (row,):
            yield version
            if rng.random() < CASUAL.get(version["source"], 0):
                yield casual(version, rng)
            if rng.random() < TWICE.get(version["source"], 0):
                yield said_twice(version)


def heldout_texts(folder: Path) -> dict[str, list[str]]:
    """Held-out texts by source, as perplexity is measured on them."""
    texts: dict[str, list[str]] = {}
    for row in read_rows(folder, HELDOUT_FILES):
        text = clean(row["text"]) if "text" in row else conversation(row["messages"])
        texts.setdefault(row["source"], []).append(text)
    return texts
