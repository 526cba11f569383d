"""The words a page is written in. The only part of dashboard/, beside site map and server, that knows Streamlit."""

from dashboard.shell.charts import Stack
from dashboard.shell.look import Look
from dashboard.shell.page import page

__all__ = ["Look", "Stack", "page"]
