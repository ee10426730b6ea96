"""Warp kernels, each beside a slow PyTorch reference that says what it computes.

Warp compiles a kernel the first time it runs (a second or two) and caches the binary on disk.
This module only silences Warp's start-up banner; import the kernels from their own modules.
"""

import warp as wp

wp.config.log_level = wp.LOG_WARNING
