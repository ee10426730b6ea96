"""What is trained on top of the frozen 2D prior: omega with its view prefixes, and zeta."""

from redream.adapters.base import Adapter, LoraHost, require_host
from redream.adapters.light import LightAdapter
from redream.adapters.variational import VariationalAdapter

__all__ = ["Adapter", "LightAdapter", "LoraHost", "VariationalAdapter", "require_host"]
