"""`make bench`: how fast, by which part, on which machine. Results are kept under bench/results/."""
