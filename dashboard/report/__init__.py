"""A run, or a stretch of time, as one HTML file that opens without network, and its numbers as CSV.

`gather` asks the sources and judges nothing; `run` and `incident` turn what it found into a document and tables, and
are pure; `document` and `tables` are the paper they are written on. Knows no Streamlit.
"""
