"""Bugs of one kind at several places of a small shop: what a memory of the first should help with."""

from dataclasses import dataclass

from sandbox.symptom import Symptom


@dataclass(frozen=True)
class Kind:
    """`places` are functions as they should be, each with a wrong text and the right one that it
    stands for."""

    name: str
    symptom: Symptom
    places: tuple[tuple[str, str, str], ...]


def _kind(name: str, kind: str, message: str, *places: tuple[str, str, str]) -> Kind:
    return Kind(name, Symptom(kind, message), places)


HEAD = """\
import json
import os
from datetime import datetime, timezone
from decimal import Decimal

RATE = Decimal("0.2")
"""

KINDS = (
    _kind(
        "inclusive end",
        "AssertionError",
        "assert [0, 0] == [0, 0, 0]",
        (
            "def pages(first, last):\n    return list(range(first, last + 1))\n",
            "range(first, last)",
            "range(first, last + 1)",
        ),
        (
            "def years(born, now):\n    found = []\n    for year in range(born, now + 1):\n"
            "        found.append(str(year))\n    return found\n",
            "range(born, now)",
            "range(born, now + 1)",
        ),
        (
            "def total(grid, top, bottom):\n"
            "    return sum(grid[n][0] for n in range(top, bottom + 1))\n",
            "range(top, bottom)",
            "range(top, bottom + 1)",
        ),
    ),
    _kind(
        "zero is a value",
        "AssertionError",
        "assert None == 0",
        (
            "def price_of(item, default):\n    price = item.get('price')\n"
            "    if price is not None:\n        return price\n    return default\n",
            "if price:",
            "if price is not None:",
        ),
        (
            "def stock(rows, name):\n    count = rows.get(name)\n    if count is not None:\n"
            "        return f'{count} left'\n    return 'unknown'\n",
            "if count:",
            "if count is not None:",
        ),
        (
            "def discount(user, basket):\n    share = user.share\n    if share is not None:\n"
            "        basket.cut(share)\n    return basket\n",
            "if share:",
            "if share is not None:",
        ),
    ),
    _kind(
        "money through text",
        "TypeError",
        "unsupported operand type(s) for *: '…' and '…'",
        (
            "def taxed(amount):\n    return Decimal(str(amount)) * (1 + RATE)\n",
            "return amount *",
            "return Decimal(str(amount)) *",
        ),
        (
            "def refund(order, days):\n    whole = Decimal(str(order.paid)) * (1 - RATE)\n"
            "    return whole if days < 14 else Decimal(0)\n",
            "whole = order.paid *",
            "whole = Decimal(str(order.paid)) *",
        ),
        (
            "def commission(sales):\n    found = {}\n    for name, sold in sales.items():\n"
            "        found[name] = Decimal(str(sold)) * RATE\n    return found\n",
            "= sold *",
            "= Decimal(str(sold)) *",
        ),
    ),
    _kind(
        "nothing given",
        "TypeError",
        "'…' object is not iterable",
        (
            "def names(people):\n    if people is None:\n        return []\n    found = []\n"
            "    for one in people:\n        found.append(one.name)\n    return found\n",
            "",
            "    if people is None:\n        return []\n",
        ),
        (
            "def weights(parcels, unit):\n    if parcels is None:\n        return []\n"
            "    found = []\n    for parcel in parcels:\n"
            "        found.append(parcel.weight * unit)\n    return found\n",
            "",
            "    if parcels is None:\n        return []\n",
        ),
        (
            "def tags(page):\n    if page is None:\n        return []\n    found = []\n"
            "    for word in page:\n        if word.startswith('#'):\n"
            "            found.append(word)\n    return found\n",
            "",
            "    if page is None:\n        return []\n",
        ),
    ),
    _kind(
        "times have a zone",
        "TypeError",
        "can't compare offset-naive and offset-aware datetimes",
        (
            "def expired(token):\n    return token.until < datetime.now(timezone.utc)\n",
            "datetime.now()",
            "datetime.now(timezone.utc)",
        ),
        (
            "def age(order):\n    now = datetime.now(timezone.utc)\n"
            "    return (now - order.made).days\n",
            "datetime.now()",
            "datetime.now(timezone.utc)",
        ),
        (
            "def stamp(row):\n    row['at'] = datetime.now(timezone.utc).isoformat()\n"
            "    return row\n",
            "datetime.now()",
            "datetime.now(timezone.utc)",
        ),
    ),
    _kind(
        "words in any case",
        "AssertionError",
        "assert False",
        (
            "def is_yes(answer):\n    return answer.strip().lower() == 'yes'\n",
            "answer == 'yes'",
            "answer.strip().lower() == 'yes'",
        ),
        (
            "def known(country, table):\n    if country.strip().lower() == 'uk':\n"
            "        country = 'gb'\n    return country in table\n",
            "country == 'uk'",
            "country.strip().lower() == 'uk'",
        ),
        (
            "def ranks(rows):\n    found = []\n    for row in rows:\n"
            "        found.append(row.kind.strip().lower() == 'gold')\n    return found\n",
            "row.kind == 'gold'",
            "row.kind.strip().lower() == 'gold'",
        ),
    ),
    _kind(
        "a broken file is an empty one",
        "JSONDecodeError",
        "Expecting value: line 0 column 0 (char 0)",
        (
            "def settings(path):\n    text = path.read_text()\n    try:\n"
            "        return json.loads(text)\n    except ValueError:\n        return {}\n",
            "    return json.loads(text)\n",
            "    try:\n        return json.loads(text)\n    except ValueError:\n"
            "        return {}\n",
        ),
        (
            "def cart(session):\n    try:\n        return json.loads(session.body)\n"
            "    except ValueError:\n        return {}\n",
            "    return json.loads(session.body)\n",
            "    try:\n        return json.loads(session.body)\n    except ValueError:\n"
            "        return {}\n",
        ),
        (
            "def reply(line, log):\n    log.append(line)\n    try:\n"
            "        return json.loads(line)\n    except ValueError:\n        return {}\n",
            "    return json.loads(line)\n",
            "    try:\n        return json.loads(line)\n    except ValueError:\n"
            "        return {}\n",
        ),
    ),
    _kind(
        "division by nothing",
        "ZeroDivisionError",
        "division by zero",
        (
            "def mean(values):\n    return sum(values) / len(values) if values else 0.0\n",
            "return sum(values) / len(values)\n",
            "return sum(values) / len(values) if values else 0.0\n",
        ),
        (
            "def rating(stars, book):\n    book.rating = sum(stars) / len(stars) if stars else 0.0\n"
            "    return book\n",
            "sum(stars) / len(stars)\n",
            "sum(stars) / len(stars) if stars else 0.0\n",
        ),
        (
            "def load(shelf):\n    each = sum(shelf.sizes) / len(shelf.sizes) if shelf.sizes else 0.0\n"
            "    return round(each, 1)\n",
            "sum(shelf.sizes) / len(shelf.sizes)\n",
            "sum(shelf.sizes) / len(shelf.sizes) if shelf.sizes else 0.0\n",
        ),
    ),
)
