"""What ``stepwell doctor`` looks at, a file per part."""
