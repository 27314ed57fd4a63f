"""What things cost: parts and their area and leakage, node scaling, seconds, the tree of a report, baselines."""
