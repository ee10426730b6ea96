"""Ways to distil: a class each, from Eqs. 1 and 2 to what came after them."""

from redream.method.guidance.base import Guidance, Scored
from redream.method.guidance.sds import SDS
from redream.method.guidance.vsd import VSD

__all__ = ["SDS", "VSD", "Guidance", "Scored"]
