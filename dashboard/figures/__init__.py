"""Frames become figures here. Pure: no clock, no network, no Streamlit."""
