"""Formulas as MathML, which browsers draw by themselves: pages need no script and no network."""

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)


def to_mathml(node: nodes.Element) -> str:
    """A formula's MathML; what cannot be converted is a warning that names its page."""
    try:
        return tex2mathml(node.astext())
    except (ValueError, SyntaxError) as error:
        logger.warning("a formula cannot be shown: %s", error, location=node)
        return ""


def inline(translator: HTML5Translator, node: nodes.math) -> None:
    """Writes a formula in a line."""
    translator.body.append(to_mathml(node))
    raise nodes.SkipNode


def displayed(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Writes a formula of its own lines."""
    formula = to_mathml(node).replace("<math ", '<math display="block" ', 1)
    translator.body.append(f'<div class="math">{formula}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the renderer ``mathml``."""
    app.add_html_math_renderer("mathml", (inline, None), (displayed, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
