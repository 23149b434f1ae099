"""What is published here: taken in, shown to those who may read it, changed by its owner."""
