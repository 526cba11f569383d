"""A small Mixture-of-Experts router that evolves its own routing topology on handwritten digits.

    python -m examples.evolving_router --generations 20

Real data (the 1 797 digits that ship with scikit-learn), really trained experts, a real genetic algorithm and real
inference requests. What it reports is measured; it can also be told to misbehave for real.
"""
