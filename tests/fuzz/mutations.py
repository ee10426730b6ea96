"""How an input is spoiled: by bytes, by values of its structure, by letters. All from a seed."""

import copy
import json
import random
import struct

ODD_NUMBERS = (0, -1, 1, 2**31, 2**63, 10**12, 10**400, -0.5, 1e308, float("nan"), float("inf"))
ODD_TEXTS = (
    "",
    " ",
    "a" * 10_000,
    "\U0001f9a6" * 40,
    "\u05db\u05dc\u05d1 \u202e dog",
    "a\x00dog\x1b[31m\x07",
    "../../secret",
    "\ud7ff\uffff",
    "%s%n{}${x}",
    "\u0301" * 500,
)
ODD_VALUES = (*ODD_NUMBERS, *ODD_TEXTS, None, True, [], {}, [[]], {"": None})


def spoil_bytes(data: bytes, chance: random.Random) -> bytes:
    """A few flips, cuts, repetitions and insertions."""
    spoilt = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        if not spoilt:
            break
        at = chance.randrange(len(spoilt))
        length = min(chance.choice((1, 2, 4, 8, 64, 4096)), len(spoilt) - at)
        way = chance.randrange(6)
        if way == 0:
            spoilt[at] ^= 1 << chance.randrange(8)
        elif way == 1:
            spoilt[at : at + length] = chance.randbytes(length)
        elif way == 2:
            del spoilt[at : at + length]
        elif way == 3:
            spoilt[at:at] = spoilt[at : at + length]
        elif way == 4:
            number = chance.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF))
            spoilt[at : at + 4] = struct.pack("<I", number)
        else:
            del spoilt[at:]
    return bytes(spoilt)


def spoil_values(tree: object, chance: random.Random) -> object:
    """A copy with a few values exchanged, removed, repeated or put elsewhere."""
    spoilt = [copy.deepcopy(tree)]
    for _ in range(chance.choice((1, 1, 2, 4))):
        places = [(spoilt, 0), *_places(spoilt[0])]
        # the root is seldom worth it
        holder, key = chance.choice(places[1:] or places)
        way = chance.randrange(5)
        if way == 0:
            del holder[key]
        elif way == 1:
            other, name = chance.choice(places[1:] or places)
            holder[key] = copy.deepcopy(other[name])
        elif way == 2 and isinstance(holder[key], int | float):
            holder[key] = holder[key] * chance.choice((-1, 2, 1000, 10**9)) + chance.randint(-2, 2)
        elif way == 3 and isinstance(holder, list):
            holder.extend([holder[key]] * chance.choice((1, 1000)))
        else:
            holder[key] = copy.deepcopy(chance.choice(ODD_VALUES))
        if not spoilt:
            return None
    return spoilt[0]


def spoil_glb(data: bytes, chance: random.Random) -> bytes:
    """By bytes, or by the values of its JSON, its lengths then being right."""
    if chance.random() < 0.3:
        return spoil_bytes(data, chance)
    size = struct.unpack("<I", data[12:16])[0]
    text = json.dumps(spoil_values(json.loads(data[20 : 20 + size]), chance)).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + size :]
    head = b"glTF" + struct.pack("<IIII", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A)
    return head + text + rest


def spoil_text(text: str, chance: random.Random) -> str:
    """Letters exchanged for odd ones, or the whole text for an odd one."""
    if not text or chance.random() < 0.2:
        return chance.choice(ODD_TEXTS)
    letters = list(text)
    for _ in range(chance.choice((1, 3, 30))):
        at = chance.randrange(len(letters))
        odd = chr(chance.choice((0, 9, 10, 27, 0x200F, 0x202E, 0x1F9A6, chance.randrange(0xD000))))
        letters[at : at + chance.choice((0, 1, 1, 5))] = [odd] * chance.choice((0, 1, 1, 200))
        if not letters:
            break
    return "".join(letters)


def _places(tree: object) -> list[tuple]:
    """Every (container, key) below a value."""
    found, waiting = [], [tree]
    while waiting:
        holder = waiting.pop()
        keys = (
            holder
            if isinstance(holder, dict)
            else range(len(holder))
            if isinstance(holder, list)
            else ()
        )
        for key in keys:
            found.append((holder, key))
            waiting.append(holder[key])
    return found
