"""The method: the terms of a step, one file each, and the module that adds them up."""
