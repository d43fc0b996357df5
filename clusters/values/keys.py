"""The keys of the site: what each does, the usual one, and how a person's own are read and checked."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

CAPS = {"ArrowLeft": "←", "ArrowRight": "→", "ArrowUp": "↑", "ArrowDown": "↓", "-": "−"}
_NAMES = {cap: key for key, cap in CAPS.items()}
MAX_KEY = 12  # characters: "ArrowRight"


@dataclass(frozen=True)
class Action:
    """Something that a key does; on some pages the same key does the likes of it."""

    name: str
    usual: str
    text: str

    @property
    def cap(self) -> str:
        return cap_of(self.usual)


ACTIONS = (
    Action("previous", "ArrowLeft", "previous cluster, token or document"),
    Action("next", "ArrowRight", "next cluster, token or document"),
    Action("next_context", "j", "next context"),
    Action("previous_context", "k", "previous context"),
    Action("expand", "e", "longer contexts, or the snippet again"),
    Action("breaks", "n", "line breaks; on the map, the nearest point"),
    Action("classes", "m", "classes of tokens in a document"),
    Action("random", "r", "a random cluster; on the map, a rectangle"),
    Action("affinity", "a", "the cluster with the other affinity"),
    Action("smaller", "-", "the cluster at a smaller k; farther away"),
    Action("larger", "+", "the cluster at a larger k; nearer"),
    Action("whole", "0", "the whole map, the whole matrix"),
    Action("clustered_before", "[", "the clustered token before"),
    Action("clustered_after", "]", "the clustered token after"),
    Action("alike_before", ",", "the token before of the same class"),
    Action("alike_after", ".", "the token after of the same class"),
    Action("search", "/", "search"),
    Action("help", "?", "all keys of the page"),
    *(Action(f"choice_{n}", str(n), f"tag or answer {n}") for n in range(1, 10)),
)
BY_NAME = {action.name: action for action in ACTIONS}


def cap_of(key: str) -> str:
    """What stands on the key."""
    return CAPS.get(key, key)


def read_key(text: str) -> str:
    """The key that a person wrote, as browsers name it. Raises ValueError with a sentence where it is none."""
    written = unicodedata.normalize("NFC", text.strip())
    key = _NAMES.get(written, written)
    is_character = len(key) == 1 and key.isprintable() and not unicodedata.combining(key)
    if not (is_character or key in CAPS):
        raise ValueError(f"“{text.strip()[:20]}” is no key; write one character, or an arrow: ← → ↑ ↓.")
    return key


def collisions(keys: Mapping[str, str]) -> dict[str, str]:
    """What is wrong with these keys, by action: a key that two actions share helps neither."""
    holders: dict[str, str] = {}
    found = {}
    for action in ACTIONS:
        key = keys.get(action.name, action.usual)
        if key in holders:
            other = BY_NAME[holders[key]].text
            found[action.name] = f"“{cap_of(key)}” is the key for “{other}” already; choose another for one of them."
        else:
            holders[key] = action.name
    return found


def keymap(keys: Mapping[str, str]) -> dict[str, str]:
    """The person's key for each usual one that they changed; keys of actions that are gone are left out."""
    return {BY_NAME[name].usual: key for name, key in keys.items() if name in BY_NAME and key != BY_NAME[name].usual}
