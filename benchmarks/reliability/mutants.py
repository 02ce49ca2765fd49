"""Damaged and hostile text files that keep the structure of their format, so that they reach the code behind the first check.

Every choice is drawn from a `random.Random`: hypothesis gives one in the tests, `fuzz` one with a seed.
"""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

JUNK: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 0.5, -0.5, 1e400, -1e400, float("nan"), 10**25, 2**31, 2**63, "", "x", "1", "nan"),
    *(
        "a\x1b[2J\nb",
        "$\\bad{$",
        "=1+1",
        "../../x",
        "\x00",
        "中",
        "x" * 300,
        [],
        {},
        [[]],
        [None],
        {"x": {}},
        [[1, 2], [3]],
    ),
)


SURPRISING: tuple[str, ...] = (
    *(
        "!!bool x",
        "!!int x",
        "!!float x",
        "!!binary =",
        "!!python/object/apply:os.system [x]",
        "2020-13-45",
        "0o9",
        "%X",
    ),
    *("0x" + "f" * 6_000, "9" * 5_000, "1:" * 200 + "1", "[" * 5_000, "&a [*a]", "? [a]", "{<<: 1}", "- - - -", "\x07"),
)


def bytes_of(data: bytes, rng: Random) -> bytes:
    """The bytes with a few flipped, cut out, doubled or replaced, or without an end."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(found) + 1)
        match rng.randrange(6):
            case 0 if at < len(found):
                found[at] ^= 1 << rng.randrange(8)
            case 1:
                del found[at : at + rng.choice((1, 4, 64))]
            case 2:
                found[at:at] = found[at : at + rng.choice((1, 8, 64))]
            case 3:
                found[at : at + 4] = rng.choice((b"\x00" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"))
            case 4:
                del found[at:]
            case _:
                found[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 8)))
    return bytes(found)


def tree_of(content: Any, rng: Random) -> Any:
    """A nested value with some places replaced, removed, doubled or exchanged."""
    content = copy.deepcopy(content)
    for _ in range(rng.randint(1, 3)):
        place, key = content, 0
        holder: Any = None
        while isinstance(place, (dict, list)) and place and (holder is None or rng.random() < 0.8):
            key = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
            holder, place = place, place[key]
        if holder is None:
            return rng.choice(JUNK)
        match rng.randrange(5):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, list):
                holder.insert(key, copy.deepcopy(place))
            case 2 if isinstance(place, (int, float)) and not isinstance(place, bool):
                holder[key] = rng.choice((place + 1, place - 1, -place, place * 1.001, str(place), [place]))
            case 3 if isinstance(holder, dict):
                holder[rng.choice(("x", "", "a\x1b", "average", "epochs"))] = place
            case _:
                holder[key] = copy.deepcopy(rng.choice(JUNK))
    return content


def json_of(data: bytes, rng: Random) -> bytes:
    """A JSON file with another content, or damaged."""
    if rng.random() < 0.2:
        return bytes_of(data, rng)
    if rng.random() < 0.05:
        return rng.choice(
            (b"[" * 100_000, b'{"a":' * 5_000, b"9" * 100_000, b"\xff\xfe{", b'"\\ud800"', b"NaN", b"null")
        )
    return json.dumps(tree_of(json.loads(data), rng)).encode("utf-8", "surrogatepass")


def yaml_of(data: bytes, rng: Random) -> bytes:
    """A YAML file with another content, tags and shapes that surprise, or damaged."""
    import yaml

    if rng.random() < 0.3:
        return bytes_of(data, rng)
    if rng.random() < 0.5:
        lines = data.decode().splitlines()
        at = rng.randrange(len(lines))
        lines[at] = lines[at].partition(":")[0] + ": " + rng.choice(SURPRISING)
        return "\n".join(lines).encode()
    return yaml.safe_dump(tree_of(yaml.safe_load(data), rng), allow_unicode=True).encode("utf-8", "surrogatepass")


def csv_of(data: bytes, rng: Random) -> bytes:
    """A CSV file with cells exchanged, lost or strange, or damaged."""
    if rng.random() < 0.3:
        return bytes_of(data, rng)
    lines = [line.split(",") for line in data.decode().splitlines()]
    line = rng.choice(lines)
    match rng.randrange(3):
        case 0:
            line.insert(rng.randrange(len(line)), "x")
        case 1:
            del line[rng.randrange(len(line))]
        case _:
            line[rng.randrange(len(line))] = rng.choice(('"', "nan", "", "\x00", "=1", "9" * 200_000, "1e999"))
    return "\n".join(map(",".join, lines)).encode()


def jsonl_of(data: bytes, rng: Random) -> bytes:
    """A file of JSON lines, one of which is something else."""
    lines = data.splitlines()
    at = rng.randrange(len(lines))
    lines[at] = rng.choice(
        (json_of(lines[at], rng), b"x", b"\x00" * 40, b"\xff\xfe", b"1", b"[" * 50_000, lines[at][:-4], b"")
    )
    return b"\n".join(lines) + rng.choice((b"\n", b""))
