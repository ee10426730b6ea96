"""Ways to distil: a class each, from Eqs. 1 and 2 to what came after them."""

from redream.method.guidance.asd import ASD
from redream.method.guidance.base import Guidance, Heard, Scored
from redream.method.guidance.csd import CSD
from redream.method.guidance.ism import ISM
from redream.method.guidance.jsd import JSD
from redream.method.guidance.reuse import Reuse
from redream.method.guidance.sdi import SDI
from redream.method.guidance.sds import SDS
from redream.method.guidance.sds_bridge import SDSBridge
from redream.method.guidance.sum_of_priors import AnotherPrior, SumOfPriors
from redream.method.guidance.vsd import VSD

__all__ = [
    "ASD",
    "CSD",
    "ISM",
    "JSD",
    "SDI",
    "SDS",
    "VSD",
    "AnotherPrior",
    "Guidance",
    "Heard",
    "Reuse",
    "SDSBridge",
    "Scored",
    "SumOfPriors",
]
