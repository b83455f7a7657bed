"""Reports: one HTML file that opens offline and says what a run did and why."""
