# ruff: noqa
# pyright: basic, reportGeneralTypeIssues=false
"""A small shop."""

import json
import os.path as osp
from collections import OrderedDict, defaultdict as dd

from shop.models import *

LIMIT = 10


class Order(Base):
    """What a customer bought. Once."""

    total: int = 0
    lines = ()

    def __init__(self, store: Store, *, name="x"):
        self.store = store
        self.log = Logger(name)

    @property
    def price(self) -> int:
        return sum(line.price for line in self.lines)


async def load(path: str, encoding="utf-8"):
    """Read one order."""

    def helper():
        return json.loads(path)

    return helper()
