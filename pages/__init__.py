"""What a person sees: one Streamlit script per question."""
