"""A page to work in: ``redream ui``. Only the files that paint it import Gradio."""
