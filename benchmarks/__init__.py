"""Side-by-side measurements: Stepwell, and the same processes written by hand."""
