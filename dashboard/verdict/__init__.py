"""What the numbers say, in words with evidence: rules in one place, pure, tested on recorded runs. No network, no page."""
