"""Examples that really run. The product knows none of them."""
