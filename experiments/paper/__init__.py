"""The paper's tables and figures, a command each: ``python -m experiments.paper.table1``."""
